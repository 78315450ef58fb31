-- name: find_task
select t.id, t.module, t.definition, t.paused_ms, d.body
from tasks t left join definitions d on d.id = t.definition
where t.namespace = :namespace and t.name = :name;

-- name: find_published
-- A task with its newest definition, and the id that a definition of this digest has, if it is published.
select t.id, t.module, t.definition, d.id
from tasks t left join definitions d on d.task = t.id and d.digest = :digest
where t.namespace = :namespace and t.name = :name;

-- name: find_task_by_id
select t.id, t.name, t.module, t.definition, t.paused_ms, d.body
from tasks t left join definitions d on d.id = t.definition where t.id = :id;

-- name: list_tasks
select t.id, t.name, t.module, t.definition, t.paused_ms, d.body
from tasks t left join definitions d on d.id = t.definition
where t.namespace = :namespace order by t.name;

-- name: add_task
insert into tasks (namespace, name, module) values (:namespace, :name, :module)
on conflict (namespace, name) do nothing;

-- name: add_definition
insert into definitions (task, digest, body, published_ms) values (:task, :digest, :body, :now)
on conflict (task, digest) do nothing;

-- name: find_definition
select id from definitions where task = :task and digest = :digest;

-- name: read_definition
select task, body from definitions where id = :id;

-- name: current_definition
select definition from tasks where id = :task;

-- name: set_current_definition
-- The newest definition is what a new generation of any item runs under.
update tasks set definition = :definition where id = :task and definition is distinct from :definition;

-- name: set_paused
update tasks set paused_ms = :paused_ms where id = :task and (paused_ms is null) <> (cast(:paused_ms as bigint) is null);

-- name: add_worker
insert into workers (instance, name, pid, lock, lease_ms, started_ms, seen_ms)
values (:instance, :name, :pid, :lock, :lease_ms, :now, :now);

-- name: find_worker
select id from workers where instance = :instance;

-- name: add_worker_task
insert into worker_tasks (worker, task, definition) values (:worker, :task, :definition)
on conflict (worker, task) do nothing;

-- name: beat
-- Nothing changed means that the worker was declared lost meanwhile. Returns the oldest schema that code must know by now.
update workers set beat = beat + 1, seen_ms = :now
where id = :worker and stopped_ms is null and lost_ms is null
returning cast(coalesce((select value from meta where key = 'oldest_code'), '0') as integer);

-- name: is_living
select 1 from workers where id = :worker and stopped_ms is null and lost_ms is null;

-- name: count_refused
update workers set refused = refused + :count where id = :worker;

-- name: stop_worker
update workers set stopped_ms = :now where id = :worker and stopped_ms is null and lost_ms is null returning id;

-- name: lose_worker
-- Nothing changed means that it has beaten since it was looked at, or has ended.
update workers set lost_ms = :now where id = :worker and beat = :beat and stopped_ms is null and lost_ms is null returning id;

-- name: close_worker
-- Nothing is held by it any more.
update workers set closed_ms = :now where id = :worker and closed_ms is null;

-- name: open_workers
-- Those that live, and those that have ended but whose work items have not all been taken back.
select id, instance, name, pid, lock, lease_ms, beat, started_ms, seen_ms, stopped_ms is not null or lost_ms is not null
from workers where closed_ms is null order by id;

-- name: list_workers
select id, instance, name, pid, started_ms, seen_ms, stopped_ms, lost_ms, refused from workers order by id desc limit 500;

-- name: tasks_with_workers
select distinct w.task from worker_tasks w join workers on workers.id = w.worker
where workers.closed_ms is null and workers.stopped_ms is null and workers.lost_ms is null;

-- name: add_calls_job
-- The job that holds the calls of a workflow's item, under the same run id. Nothing returned means that there is one.
insert into jobs (task, run_id, named, kind, input_digest, tz, labels, sealed, parent_job, parent_number, epoch, created_ms,
    touched_ms)
select i.task, j.run_id, 0, 'calls', '', j.tz, '{}', 0, i.job, i.number, i.keep_from, :now, :now
from items i join jobs j on j.id = i.job where i.job = :job and i.number = :number
on conflict (parent_job, parent_number, epoch) where parent_job is not null do nothing returning id;

-- name: find_calls_job
select j.id from items i join jobs j on j.parent_job = i.job and j.parent_number = i.number and j.epoch = i.keep_from
where i.job = :job and i.number = :number;

-- name: is_calling
-- Whether an attempt of a workflow still owns its item and nobody wants it cancelled, so that it may make calls.
select 1 from items where job = :job and number = :number and token = :token and worker = :worker and status = 'STARTED'
    and cancel_ms is null;

-- name: count_items
select pending + started + retry + success + failure + revoked from jobs where id = :job;

-- name: take_arrivals
-- What has ended since it was asked for last, of the calls that the bodies wait for which a worker runs.
delete from arrivals where worker = :worker returning job, number;

-- name: any_arrival
select 1 from arrivals where worker = :worker limit 1;

-- name: find_parent
select parent_job, parent_number from jobs where id = :job and parent_job is not null;

-- name: find_job_by_run_id
select id, input_digest, sealed, touched_ms from jobs where task = :task and run_id = :run_id and parent_job is null;

-- name: add_job
-- Nothing returned means that another submission has the run id.
insert into jobs (task, run_id, named, kind, input_digest, tz, labels, sealed, total_ms, traceparent, pending, created_ms, touched_ms,
    ended_ms)
values (:task, :run_id, :named, :kind, :input_digest, :tz, :labels, :sealed, :total_ms, :traceparent, :pending, :now, :now, :ended_ms)
on conflict (task, run_id) where parent_job is null do nothing returning id;

-- name: grow_job
-- Nothing changed means that the submission was given up by others meanwhile.
update jobs set pending = pending + :count, touched_ms = :now where id = :job and sealed = 0 returning id;

-- name: seal_job
update jobs set sealed = 1, release_ms = :release_ms, input_digest = :input_digest, touched_ms = :now,
    ended_ms = case when pending + started + retry = 0 then :now end
where id = :job and sealed = 0 returning ended_ms;

-- name: abandoned_jobs
-- Submissions that nobody has added to for a while, which for those in chunks is a longer while; and which they are.
select id, input_digest = 'in chunks' from jobs
where sealed = 0
    and touched_ms < case input_digest when 'in chunks' then cast(:uploads_before as bigint) else cast(:before as bigint) end
    and parent_job is null
order by id limit 100;

-- name: add_upload
insert into uploads (job, definition, priority, due_ms, deadline_ms, cutoff_ms, arguments)
values (:job, :definition, :priority, :due_ms, :deadline_ms, :cutoff_ms, :arguments);

-- name: find_upload
select job, definition, priority, due_ms, deadline_ms, cutoff_ms, arguments from uploads where job = :job;

-- name: end_upload
-- Its job is sealed, or forgotten.
delete from uploads where job = :job;

-- name: inputs_from
-- A run of a job's work items as they were submitted.
select key, arguments from inputs where job = :job and number >= :first order by number limit :count;

-- name: drop_job
delete from jobs where id = :job and sealed = 0;

-- name: drop_outages
delete from outages where (task, subject) in (select task, job || '-' || number from items where job = :job)
    and :job in (select id from jobs where sealed = 0);

-- name: drop_items
-- What belongs to a complete job stays, even if its submitter does not know that it is complete.
delete from items where job = :job and :job in (select id from jobs where sealed = 0);

-- name: drop_inputs
delete from inputs where job = :job and :job in (select id from jobs where sealed = 0);

-- name: drop_events
-- Items that were never due can have failed all the same, when their time was over.
delete from events where job = :job and :job in (select id from jobs where sealed = 0);

-- name: read_job
select j.id, t.namespace, j.task, t.name, j.run_id, j.kind, j.tz, j.labels, j.sealed, j.cancel_ms, j.created_ms, j.ended_ms,
    j.pending, j.started, j.retry, j.success, j.failure, j.revoked, j.pruned_ms, j.parent_job, j.parent_number
from jobs j join tasks t on t.id = j.task
where j.id = :job and (j.pruned_ms is null or j.named = 1);

-- name: flag_job
-- Claims honour the flag from this commit on.
update jobs set cancel_ms = :now where id = :job and cancel_ms is null and ended_ms is null returning id;

-- name: unflag_job
update jobs set cancel_ms = null where id = :job;

-- name: releasing_jobs
-- Sealed jobs whose items have not all been made due yet.
select id, release_ms from jobs where release_ms is not null order by id limit 100;

-- name: release_items
-- A sealed job's items become due a chunk at a time, in order: those before `first` have had their turn. The chunk is found by its
-- end, and not by a join with itself, which would go through all of the job's items for each wherever statistics mislead.
update items set due_ms = :due_ms, wait = :wait, version = version + 1
where job = :job and number >= :first and status = 'PENDING' and wait = 'submitting' and number <= (
    select max(number) from (
        select number from items where job = :job and number >= :first and status = 'PENDING' and wait = 'submitting'
        order by number limit :limit) chunk)
returning number;

-- name: released_job
update jobs set release_ms = null where id = :job;

-- name: cancelling_jobs
select id from jobs where cancel_ms is not null and ended_ms is null order by id limit 100;

-- name: read_attempts
select job, number, token, generation, attempt, worker, outcome, reason, claimed_ms, started_ms, ended_ms, failure_class, rule,
    error_type, error_message, failure, entry, charged, delay_ms, planned_ms, retry_after_ms, rows, result, exit_code, signal, pid,
    cause
from attempts where job = :job and number = :number order by token;

-- name: read_checkpoints
select kind, key, generation, value, token, definition, at_ms from checkpoints
where job = :job and number = :number order by at_ms, key;

-- name: save_checkpoint
-- By the attempt that owns its work item, else nothing is saved and nothing returned. What a later attempt saved stays, too.
insert into checkpoints (job, number, kind, key, generation, value, token, definition, at_ms)
select :job, :number, :kind, :key, :generation, :value, :token, :definition, :now
where exists (
    select 1 from items where job = :job and number = :number and token = :token and worker = :worker and status = 'STARTED')
on conflict (job, number, kind, key, generation)
do update set value = excluded.value, token = excluded.token, definition = excluded.definition, at_ms = excluded.at_ms
where checkpoints.token <= excluded.token
returning 1;

-- name: forgive_crashes
-- A checkpoint is progress: deaths before it no longer count. Written only where there is something to forgive.
update items set crashes = 0, version = version + 1
where job = :job and number = :number and token = :token and worker = :worker and crashes > 0;

-- name: drop_old_checkpoints
delete from checkpoints where job = :job and number = :number and generation < :keep_from;

-- name: read_logs
select token, part, at_ms, text from logs
where job = :job and number = :number and (token > :token or (token = :token and part > :part))
order by token, part limit 1000;

-- name: read_progress
select token, done, total from progress where job = :job and number = :number;

-- name: add_successor
insert into successors (job, number, next_job, next_number) values (:job, :number, :next_job, :next_number)
on conflict (job, number) do update set next_job = excluded.next_job, next_number = excluded.next_number;

-- name: any_successor
select 1 from successors limit 1;

-- name: find_successor
select next_job, next_number from successors where job = :job and number = :number;

-- name: drop_successor
delete from successors where job = :job and number = :number;

-- name: held_behind
-- The items that wait one behind the other after one; where one of them does not wait for it, those behind wait for that one.
with recursive behind (job, number) as (
    select s.next_job, s.next_number from successors s
    join items i on i.job = s.next_job and i.number = s.next_number
    where s.job = :job and s.number = :number and i.wait = 'predecessor'
    union
    select s.next_job, s.next_number from behind b join successors s on s.job = b.job and s.number = b.number
    join items i on i.job = s.next_job and i.number = s.next_number
    where i.wait = 'predecessor')
select job, number from behind;

-- name: in_order_unsuccessful
-- What was put in order once and did not succeed.
select i.job, i.number from items i join (
    select job, number from successors union select next_job, next_number from successors) s
    on s.job = i.job and s.number = i.number
where i.status in ('FAILURE', 'REVOKED');

-- name: add_event
insert into events (at_ms, kind, job, number, generation, reason) values (:now, :kind, :job, :number, :generation, :reason);

-- name: newest_job
select coalesce(max(id), 0) from jobs;

-- name: open_jobs
-- The newest jobs that have not ended, of those after one.
select id from jobs where id > :after and ended_ms is null order by id desc limit :limit;

-- name: add_audit
insert into audit (at_ms, actor, source, action, target, reason, expected, found, changed, address, operation)
values (:now, :actor, :source, :action, :target, :reason, :expected, :found, :changed, :address, :operation);

-- name: read_audit
select id, at_ms, actor, source, action, target, reason, expected, found, changed, address, operation from audit
where id < :before and (target = :target or cast(:target as text) is null) order by id desc limit :limit;

-- name: changed_by_operation
-- What a request has done so far that was cut off before it was answered. Nothing: it has not done anything.
select sum(changed) from audit where operation = :operation and changed > 0 having count(*) > 0;

-- name: add_access_key
-- Nothing returned means that a key which is not revoked has the name.
insert into access_keys (id, name, role, digest, pipelines, created_ms, expires_ms)
values (:key, :name, :role, :digest, :pipelines, :now, :expires)
on conflict (name) where revoked_ms is null do nothing returning id;

-- name: find_access_key
select id, name, role, digest, pipelines, created_ms, revoked_ms, expires_ms from access_keys where id = :key;

-- name: list_access_keys
select id, name, role, digest, pipelines, created_ms, revoked_ms, expires_ms from access_keys order by created_ms, id;

-- name: any_access_key
select 1 from access_keys where revoked_ms is null and (expires_ms is null or expires_ms > :now) limit 1;

-- name: other_admin_key
-- A key of an admin for all pipelines that is taken and stays so, besides one.
select 1 from access_keys where role = 'admin' and pipelines is null and revoked_ms is null and expires_ms is null
    and id <> :key limit 1;

-- name: revoke_access_key
-- One key: by its id, and by its name only where no key that is taken has that for an id.
update access_keys set revoked_ms = :now where revoked_ms is null and (id = :key
    or name = :key and not exists (select 1 from access_keys k where k.id = :key and k.revoked_ms is null)) returning id, name;

-- name: add_login_session
insert into login_sessions (digest, key, created_ms, seen_ms) values (:digest, :key, :now, :now);

-- name: find_login_session
select digest, key, created_ms, seen_ms from login_sessions where digest = :digest;

-- name: see_login_session
-- Nothing changed means that another server has noted it, or that it was ended.
update login_sessions set seen_ms = :now where digest = :digest and seen_ms < :now;

-- name: end_login_session
-- Nothing returned means that it has ended before.
delete from login_sessions where digest = :digest returning key;

-- name: prune_login_sessions
delete from login_sessions where digest in (
    select digest from login_sessions where created_ms < :before order by created_ms limit :limit)
returning 1;

-- name: begin_reply
-- Nothing returned means that such a request came before.
insert into replies (owner, key, digest, at_ms) values (:owner, :key, :digest, :now) on conflict do nothing returning 1;

-- name: find_reply
select digest, at_ms, status, body from replies where owner = :owner and key = :key;

-- name: take_over_reply
-- Of a request that was not answered since, as it stood when it was looked at.
update replies set at_ms = :now where owner = :owner and key = :key and status is null and at_ms = :seen returning 1;

-- name: end_reply
update replies set status = :code, body = :body where owner = :owner and key = :key;

-- name: drop_reply
delete from replies where owner = :owner and key = :key and status is null;

-- name: prune_replies
delete from replies where (owner, key) in (select owner, key from replies where at_ms < :before order by at_ms limit :limit)
returning 1;

-- name: windows_taken
-- The windows of a task in a range that succeeded or are in flight, also where retention has removed the details.
select n.window_start_ms, n.window_end_ms from inputs n
join items i on i.job = n.job and i.number = n.number
where n.task = :task and n.window_start_ms >= :start and n.window_start_ms < :end
    and i.status in ('PENDING', 'STARTED', 'RETRY', 'SUCCESS')
union all
select window_start_ms, window_end_ms from past_windows
where task = :task and window_start_ms >= :start and window_start_ms < :end;

-- name: windows_newest
-- Items of the windows that start in a range, of all jobs or of one: of each window last one that is in flight, else the one that
-- ended last. What was removed has no job any more that could be looked at.
select window_start_ms, window_end_ms, job, number, status from (
    select n.window_start_ms, n.window_end_ms, n.job, n.number, i.status, i.ended_ms from inputs n
    join items i on i.job = n.job and i.number = n.number
    where n.task = :task and n.window_start_ms >= :start and n.window_start_ms < :end
        and (cast(:job as bigint) is null or n.job = :job)
    union all
    select window_start_ms, window_end_ms, job, number, 'SUCCESS', ended_ms from past_windows
    where task = :task and window_start_ms >= :start and window_start_ms < :end and cast(:job as bigint) is null) w
order by window_start_ms, window_end_ms, ended_ms is null, ended_ms, job, number;

-- name: windows_page
-- The first windows in a range that come after one, in their order, those of removed items among them.
select window_start_ms, window_end_ms from (
    select window_start_ms, window_end_ms from (
        select distinct window_start_ms, window_end_ms from inputs
        where task = :task and (window_start_ms, window_end_ms) > (:start, :after) and window_start_ms < :end
        order by window_start_ms, window_end_ms limit :limit) n
    union
    select window_start_ms, window_end_ms from (
        select window_start_ms, window_end_ms from past_windows
        where task = :task and (window_start_ms, window_end_ms) > (:start, :after) and window_start_ms < :end
        order by window_start_ms, window_end_ms limit :limit) p) w
order by window_start_ms, window_end_ms limit :limit;

-- name: count_windows
-- How many windows start in a range, of all jobs or of one; it stops to count at a limit.
select count(*) from (
    select window_start_ms, window_end_ms from (
        select distinct window_start_ms, window_end_ms from inputs
        where task = :task and window_start_ms >= :start and window_start_ms < :end and (cast(:job as bigint) is null or job = :job)
        order by window_start_ms, window_end_ms limit :limit) n
    union
    select window_start_ms, window_end_ms from (
        select window_start_ms, window_end_ms from past_windows
        where task = :task and window_start_ms >= :start and window_start_ms < :end and cast(:job as bigint) is null
        order by window_start_ms, window_end_ms limit :limit) p
    limit :limit) w;

-- name: windows_beside
-- The start of the last window before a range, and of the first one behind it.
select
    (select max(window_start_ms) from (
        select max(window_start_ms) as window_start_ms from inputs
        where task = :task and window_start_ms < :start and (cast(:job as bigint) is null or job = :job)
        union all
        select max(window_start_ms) from past_windows
        where task = :task and window_start_ms < :start and cast(:job as bigint) is null) b),
    (select min(window_start_ms) from (
        select min(window_start_ms) as window_start_ms from inputs
        where task = :task and window_start_ms >= :end and (cast(:job as bigint) is null or job = :job)
        union all
        select min(window_start_ms) from past_windows
        where task = :task and window_start_ms >= :end and cast(:job as bigint) is null) a);

-- name: later_written
-- Later windows of the same task that were written after a moment: an older one run again would overwrite newer values. A window
-- whose item was removed is told of only where no other item has written it since.
select n.window_start_ms, n.job, n.number, n.key from inputs n
join items i on i.job = n.job and i.number = n.number
where n.task = :task and n.window_start_ms > :window_start and i.status = 'SUCCESS' and i.ended_ms > :since
union all
select p.window_start_ms, p.job, p.number, p.key from past_windows p
where p.task = :task and p.window_start_ms > :window_start and p.ended_ms > :since and not exists (
    select 1 from inputs n join items i on i.job = n.job and i.number = n.number
    where n.task = p.task and n.window_start_ms = p.window_start_ms and n.window_end_ms = p.window_end_ms
        and i.status = 'SUCCESS' and i.ended_ms > :since)
order by 1, 2 limit :limit;

-- name: read_input
select key, arguments, window_start_ms, window_end_ms from inputs where job = :job and number = :number;

-- name: job_results
-- Results of a job's items in their order, a page at a time.
select i.number, i.status, i.reason, i.failure_class, a.result, a.error_type, a.error_message
from items i left join attempts a on a.job = i.job and a.number = i.number and a.token = case when i.status = 'FAILURE'
    then (select max(token) from attempts where job = i.job and number = i.number) else i.token end
where i.job = :job and i.number >= :first order by i.number limit :limit;

-- name: mark_pruned
-- From here on nobody sees a detail of the job; what is left of it is removed from item :next on. Null: nothing is left.
update jobs set pruned_ms = coalesce(pruned_ms, :now), pruned_to = cast(:next as bigint) where id = :job;

-- name: old_workers
select id from workers where closed_ms < :before order by closed_ms limit :limit;

-- name: unended_counts
-- What has not ended, by task; calls of workflows belong to the work item that made them. Found first and grouped then: no index is
-- to be gone through for the sake of the groups. The order is that of the index that holds no others.
with found as materialized (
    select task, pending, started, retry, success, failure, revoked from jobs
    where created_ms >= 0 and ended_ms is null and parent_job is null order by created_ms)
select task, count(*), sum(pending), sum(started), sum(retry), sum(success), sum(failure), sum(revoked) from found group by task;

-- name: ended_counts
-- What has ended since a moment, by task.
with found as materialized (
    select task, success, failure, revoked, parent_job from jobs where ended_ms >= :since and ended_ms is not null and pruned_ms is null)
select task, count(*), sum(success), sum(failure), sum(revoked) from found where parent_job is null group by task;

-- name: last_logs
-- The last pieces of an item's log after one of them, newest first.
select token, part, at_ms, text from logs
where job = :job and number = :number and (token > :token or (token = :token and part > :part))
order by token desc, part desc limit :limit;

-- name: failed_unsealed_by_cause
-- The same of what a submission that was never completed leaves behind.
select task, cause, count(*) from items
where job = :job and status = 'FAILURE' and cause is not null and :job in (select id from jobs where sealed = 0)
group by task, cause;

-- name: any_tally
select 1 from tallies limit 1;

-- name: take_tallies
-- Taken by one at a time, and summed up in the same transaction: each counts once.
delete from tallies where id in (select id from tallies order by id limit :limit)
returning task, day, measure, kind, detail, value;

-- name: count_unsealed
-- The addition keeps it off the indexes of all jobs that nobody called.
select count(*) from jobs where sealed = 0 and parent_job + 0 is null;

-- name: add_bulk
-- Nothing returned means that the same request made one before.
insert into bulk_operations (name, action, mode, filter, accept_risk, forward, actor, source, reason, address, request, pipelines,
    state, matched, place, together, done, skipped, size, due_ms, created_ms, touched_ms)
values (:name, :action, :mode, :filter, :accept_risk, :forward, :actor, :source, :reason, :address, :request, :pipelines,
    'COLLECTING', 0, 0, 0, 0, '{}', :size, :now, :now, :now)
on conflict (request) do nothing returning id;

-- name: grow_bulk
-- Nothing changed means that it was given up or aborted meanwhile.
update bulk_operations set matched = matched + :count, touched_ms = :now where id = :id and state = 'COLLECTING' returning id;

-- name: begin_bulk
update bulk_operations set state = 'RUNNING', together = :together, due_ms = :now, touched_ms = :now
where id = :id and state = 'COLLECTING' returning id;

-- name: find_bulk
select id, name, action, mode, filter, accept_risk, forward, actor, source, reason, address, pipelines, state, error, matched,
    place, together, done, skipped, size, due_ms, created_ms, touched_ms, started_ms, ended_ms
from bulk_operations where id = :id;

-- name: find_bulk_of_request
select id from bulk_operations where request = cast(:request as text);

-- name: list_bulk
select id, name, action, mode, filter, accept_risk, forward, actor, source, reason, address, pipelines, state, error, matched,
    place, together, done, skipped, size, due_ms, created_ms, touched_ms, started_ms, ended_ms
from bulk_operations where id < :before order by id desc limit :limit;

-- name: due_bulks
-- What the next page of is due.
select id from bulk_operations where state = 'RUNNING' and due_ms <= :now order by due_ms, id limit 100;

-- name: bulk_page
select position, job, number, generation from bulk_items where operation = :id and position >= :place order by position
limit :limit;

-- name: advance_bulk
-- Nothing changed means that another process has done this page, or that it was aborted.
update bulk_operations set place = :place, done = done + :done, skipped = :skipped, size = :size, due_ms = :due_ms,
    touched_ms = :now, started_ms = coalesce(started_ms, :now)
where id = :id and state = 'RUNNING' and place = :before returning id;

-- name: postpone_bulk
update bulk_operations set due_ms = :due_ms where id = :id and state = 'RUNNING' and due_ms <= :now returning id;

-- name: end_bulk
-- Nothing changed means that it has ended. A request whose operation failed may be made again.
update bulk_operations set state = cast(:state as text), error = :error, ended_ms = :now, touched_ms = :now,
    request = case when cast(:state as text) = 'FAILED' then null else request end
where id = :id and ended_ms is null returning id;

-- name: abandoned_bulks
-- Those that nobody has added to for a while.
select id from bulk_operations where state = 'COLLECTING' and touched_ms < :before order by touched_ms limit 100;

-- name: past_bulks
select id from bulk_operations where ended_ms is not null and ended_ms < :before order by ended_ms limit 1;

-- name: drop_bulk
delete from bulk_operations where id = :id and (state = 'COLLECTING' or ended_ms is not null) returning id;

-- name: prune_bulk_events
delete from events where job is null and number = :id;
