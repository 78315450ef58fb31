-- name: lock_jobs
-- The transaction holds the only write lock already; elsewhere the row of a job is the lock of its items.
select 1 where 0 and :jobs is null;

-- name: lock_ready_jobs
-- The same: what is ready stays so until the transaction ends.
select 1 where 0 and :task + :once + :priority + :now + :limit is null;

-- name: lock_admin_keys
-- The same.
select 1 where 0;

-- name: lock_task
-- The same.
select 1 where 0 and :task is null;

-- name: read_events
-- Events after one that was read before. They become visible in the order of their ids here: one writes at a time.
select 0, id, at_ms, kind, job, number, generation, reason from events where id > :id and :position is not null
order by id limit :limit;

-- name: events_end
-- Where the newest event stands, also where it was removed.
select 0, coalesce((select seq from sqlite_sequence where name = 'events'), 0);

-- name: add_events
insert into events (at_ms, kind, job, number, reason) select :now, :kind, value ->> 0, value ->> 1, :reason from jsonb_each(:rows);

-- name: jobs_and_pipelines
-- Jobs as they are, each with the job at the top of all that called each other, whose task is the pipeline.
with recursive up (job, at) as (
    select value, value from json_each(:jobs)
    union all
    select u.job, j.parent_job from up u join jobs j on j.id = u.at where j.parent_job is not null)
select j.id, r.id, t.namespace, t.name, j.run_id, j.cancel_ms, j.ended_ms,
    j.pending, j.started, j.retry, j.success, j.failure, j.revoked
from up u join jobs r on r.id = u.at and r.parent_job is null join tasks t on t.id = r.task join jobs j on j.id = u.job;

-- name: living_login_sessions
-- Of some, those that are not over: seen since one moment, begun since another.
select digest, key from login_sessions
where digest in (select value from json_each(:digests)) and seen_ms > :seen and created_ms > :created;

-- name: heads
-- For every task, kind and priority the earliest due time: says what may be claimed now and when to look again.
select task, once, priority, due_ms from (
    select t.value as task, o.value as once, p.value as priority,
        (select min(due_ms) from items
         where task = t.value and once = o.value and priority = p.value and status in ('PENDING', 'RETRY')) as due_ms
    from json_each(:tasks) t, json_each('[0,1]') o, json_each('[1,2,3,4,5]') p
    where t.value not in (select id from tasks where paused_ms is not null)
        -- Most tasks have nothing waiting: one look instead of one for each kind and priority.
        and exists (select 1 from items where task = t.value and status in ('PENDING', 'RETRY'))
) where due_ms is not null;

-- name: claimable
-- The writing connection holds the only write lock, so what is read here is still so when it is updated.
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause, n.key, n.arguments, n.window_start_ms, n.window_end_ms
from items i indexed by items_ready join inputs n on n.job = i.job and n.number = i.number
where i.task = :task and i.once = :once and i.priority = :priority and i.status in ('PENDING', 'RETRY') and i.due_ms <= :now
    and (i.deadline_ms is null or i.deadline_ms > :now)
    and i.job not in (select id from jobs where cancel_ms is not null and ended_ms is null)
order by i.due_ms, i.job, i.number limit :limit;

-- name: start_items
-- What deciding on Claimed does, for many rows at once. No attempt begins before the one before it ended, by whose clock ever.
update items set status = 'STARTED', wait = null, token = items.token + 1, attempt = items.attempt + 1,
    version = items.version + 1, worker = :worker, claimed_ms = case when items.token = 0 then :now
        else max(:now, coalesce((select ended_ms from attempts a where a.job = items.job and a.number = items.number
                                 order by a.token desc limit 1), 0)) end
from (select value ->> 0 as job, value ->> 1 as number, value ->> 2 as version from jsonb_each(:rows)) v
where items.job = v.job and items.number = v.number and items.version = v.version
returning job, number, claimed_ms;

-- name: settle_items
-- What deciding on Succeeded does, for many rows at once: the columns that no other event leaves alone.
update items set status = 'SUCCESS', reason = v.reason, version = items.version + 1, worker = null, claimed_ms = null,
    crashes = 0, failure_class = null, cause = null, ended_ms = v.ended_ms
from (select value ->> 0 as job, value ->> 1 as number, value ->> 2 as version, value ->> 3 as reason,
             value ->> 4 as ended_ms from jsonb_each(:rows)) v
where items.job = v.job and items.number = v.number and items.version = v.version and items.status = 'STARTED'
returning job, number;

-- name: apply_items
-- Every changeable column of rows whose version is still the expected one.
update items set definition = v.definition, once = v.once, status = v.status, due_ms = v.due_ms, wait = v.wait,
    generation = v.generation, attempt = v.attempt, token = v.token, version = items.version + 1, worker = v.worker,
    claimed_ms = v.claimed_ms, cancel_ms = v.cancel_ms, deadline_ms = v.deadline_ms, cutoff_ms = v.cutoff_ms,
    charges = v.charges, crashes = v.crashes, snoozes = v.snoozes, keep_from = v.keep_from, reason = v.reason,
    failure_class = v.failure_class, ended_ms = v.ended_ms, cause = v.cause
from (select value ->> 0 as job, value ->> 1 as number, value ->> 2 as expected, value ->> 3 as definition, value ->> 4 as once,
             value ->> 5 as status, value ->> 6 as due_ms, value ->> 7 as wait, value ->> 8 as generation,
             value ->> 9 as attempt, value ->> 10 as token, value ->> 11 as worker, value ->> 12 as claimed_ms,
             value ->> 13 as cancel_ms, value ->> 14 as deadline_ms, value ->> 15 as cutoff_ms, value ->> 16 as charges,
             value ->> 17 as crashes, value ->> 18 as snoozes, value ->> 19 as keep_from, value ->> 20 as reason,
             value ->> 21 as failure_class, value ->> 22 as ended_ms, value ->> 23 as cause
      from jsonb_each(:rows)) v
where items.job = v.job and items.number = v.number and items.version = v.expected
returning job, number;

-- name: read_items
-- Items of a job whose details are being removed are shown only to those who ask for what is left of them.
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from jsonb_each(:keys) k join items i on i.job = k.value ->> 0 and i.number = k.value ->> 1
where :removed = 1 or i.job not in (select id from jobs where pruned_to is not null);

-- name: count_moves
-- One row for each job: how much its counters change. A job with nothing left to do has ended, one with something has not.
update jobs set pending = jobs.pending + v.pending, started = jobs.started + v.started, retry = jobs.retry + v.retry,
    success = jobs.success + v.success, failure = jobs.failure + v.failure, revoked = jobs.revoked + v.revoked,
    ended_ms = case when jobs.sealed = 1
                         and jobs.pending + v.pending + jobs.started + v.started + jobs.retry + v.retry = 0
                    then coalesce(jobs.ended_ms, :now) end
from (select value ->> 0 as job, value ->> 1 as pending, value ->> 2 as started, value ->> 3 as retry, value ->> 4 as success,
             value ->> 5 as failure, value ->> 6 as revoked from jsonb_each(:rows)) v
where jobs.id = v.job
returning id, ended_ms;

-- name: add_items
insert into items (job, number, task, definition, once, priority, status, due_ms, wait, generation, attempt, token, version,
    deadline_ms, cutoff_ms, charges, crashes, snoozes, keep_from, reason, created_ms)
select :job, value ->> 0, :task, :definition, :once, :priority, 'PENDING', :due_ms, :wait, 1, 0, 0, 0,
    :deadline_ms, :cutoff_ms, '[]', 0, 0, 1, 'submitted', :now
from jsonb_each(:rows);

-- name: add_inputs
insert into inputs (job, number, task, key, arguments, window_start_ms, window_end_ms)
select :job, value ->> 0, :task, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from jsonb_each(:rows);

-- name: keys_there
-- Which of these keys a job's work items have already.
select key from inputs where job = :job and key in (select value from jsonb_each(:keys));

-- name: add_attempts
insert into attempts (job, number, token, generation, attempt, worker, outcome, reason, claimed_ms, started_ms, ended_ms,
    failure_class, rule, error_type, error_message, failure, entry, charged, delay_ms, planned_ms, retry_after_ms, rows, result,
    exit_code, signal, pid, cause)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
    value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16,
    value ->> 17, value ->> 18, value ->> 19, value ->> 20, value ->> 21, value ->> 22, value ->> 23, value ->> 24,
    value ->> 25, value ->> 26
from jsonb_each(:rows);

-- name: add_successes
-- The same for attempts that succeeded, of which far fewer columns hold anything.
insert into attempts (job, number, token, generation, attempt, worker, outcome, reason, claimed_ms, started_ms, ended_ms,
    rows, result, pid)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, 'SUCCEEDED', value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
from jsonb_each(:rows);

-- name: held_by
-- A lost worker's items are taken back a page at a time: those taken are held no more.
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i indexed by items_held where i.worker = :worker and i.worker is not null limit :limit;

-- name: asked_to_stop
-- Items a worker runs that somebody wants cancelled.
select job, number, token from items indexed by items_held
where worker = :worker and worker is not null and cancel_ms is not null;

-- name: expired
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i indexed by items_deadline
where i.deadline_ms is not null and i.deadline_ms <= :now and i.status in ('PENDING', 'RETRY') limit :limit;

-- name: next_deadline
select min(deadline_ms) from items indexed by items_deadline where deadline_ms is not null and status in ('PENDING', 'RETRY');

-- name: running_of_job
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i indexed by items_held where i.worker is not null and i.job = :job;

-- name: waiting_of_job
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i where i.job = :job and i.number >= :first and i.status in ('PENDING', 'RETRY') order by i.number limit :limit;

-- name: add_logs
-- A piece that is there already is one whose commit was not answered.
insert into logs (job, number, token, part, at_ms, text)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, :now, value ->> 4 from jsonb_each(:rows) where true
on conflict (job, number, token, part) do nothing;

-- name: set_progress
insert into progress (job, number, token, done, total, at_ms)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, :now from jsonb_each(:rows) where true
on conflict (job, number) do update set token = excluded.token, done = excluded.done, total = excluded.total,
    at_ms = excluded.at_ms;

-- name: read_saved
-- Steps and cursors of many items at once: rows are job, number and the generation from which on they count.
select c.job, c.number, c.generation, c.kind, c.key, c.value
from jsonb_each(:rows) v join checkpoints c on c.job = v.value ->> 0 and c.number = v.value ->> 1
where c.generation >= v.value ->> 2;

-- name: read_jobs
select id, run_id, tz, parent_job is not null from jobs where id in (select value from json_each(:jobs));

-- name: job_limits
-- Jobs that were submitted with a total_timeout of their own, which holds for every generation of their items.
select id, total_ms from jobs where id in (select value from json_each(:jobs)) and total_ms is not null;

-- name: rows_written
-- What each attempt of some items said that it wrote.
select a.job, a.number, a.token, a.outcome, a.rows
from jsonb_each(:keys) k join attempts a on a.job = k.value ->> 0 and a.number = k.value ->> 1;

-- name: windows_of
select n.job, n.number, n.window_start_ms, n.window_end_ms
from jsonb_each(:keys) k join inputs n on n.job = k.value ->> 0 and n.number = k.value ->> 1
where n.window_start_ms is not null;

-- name: window_rivals
-- The other work items for the windows of some, with the same arguments.
select n.job, n.number, o.job, o.number, i.status, i.ended_ms
from jsonb_each(:keys) k join inputs n on n.job = k.value ->> 0 and n.number = k.value ->> 1
join inputs o on o.task = n.task and o.window_start_ms = n.window_start_ms and o.window_end_ms = n.window_end_ms
join items i on i.job = o.job and i.number = o.number
where o.arguments = n.arguments and (o.job, o.number) <> (n.job, n.number);

-- name: followers
-- What comes right after some items in their orders.
select s.job, s.number, s.next_job, s.next_number
from jsonb_each(:keys) k join successors s on s.job = k.value ->> 0 and s.number = k.value ->> 1;

-- name: predecessors
-- Which items some others come after, as far as those have not succeeded since.
select s.next_job, s.next_number, s.job, s.number
from jsonb_each(:keys) k join successors s on s.next_job = k.value ->> 0 and s.next_number = k.value ->> 1;

-- name: jobs_with_checkpoints
select value from json_each(:jobs) j where exists (select 1 from checkpoints where job = j.value);

-- name: checkpoint_definitions
-- Under which definitions the checkpoints of some items were saved that count for their present generation.
select distinct c.definition
from jsonb_each(:keys) k
join items i on i.job = k.value ->> 0 and i.number = k.value ->> 1
join checkpoints c on c.job = i.job and c.number = i.number and c.generation >= i.keep_from;

-- name: next_retry
-- When the first item of a job is tried again. Without statistics SQLite would rather read the whole job.
select min(due_ms) from items indexed by items_status where job = :job and status = 'RETRY';

-- name: first_wait
-- What a job waits for whose items all wait: none of them may start yet, of which one look is enough in a job that is ready.
-- Joined and not a condition on each row, so that all the rows need not be passed by then.
select wait, due_ms
from (select 1 where not exists (select 1 from items where job = :job and status = 'PENDING' and due_ms <= :now)) w
cross join items
where job = :job and status = 'PENDING'
order by due_ms, number limit 1;

-- name: first_failure
select i.number, i.reason, a.error_type, a.error_message from items i indexed by items_status
left join attempts a on a.job = i.job and a.number = i.number
    and a.token = (select max(token) from attempts where job = i.job and number = i.number)
where i.job = :job and i.status = 'FAILURE' order by i.number limit 1;

-- name: count_running
-- For tasks with a limit: reads what runs, which is never more than the workers hold.
select count(*) from items indexed by items_held where worker is not null and task = :task;

-- name: begin_retention
-- The transaction holds the only write lock already; elsewhere one process removes at a time.
select 1;

-- name: pruning_jobs
-- Large jobs whose details are removed in pieces: how many items each had, and from which on there are still some.
select id, named, success + failure + revoked, pruned_to from jobs where pruned_to is not null order by id limit :limit;

-- name: past_jobs
-- Jobs that ended before a moment, the oldest first.
select id, named, success + failure + revoked, 0 from jobs
where ended_ms < :before and ended_ms is not null and pruned_ms is null and release_ms is null
    -- The calls of a workflow are needed for as long as it can be retried.
    and not exists (select 1 from jobs p where p.id = jobs.parent_job and p.pruned_ms is null)
order by ended_ms, id limit :limit;

-- name: past_successes
-- What the ledger needs to know of items that succeeded for a window.
select i.task, n.window_start_ms, n.window_end_ms, i.job, i.number, n.key, i.definition, i.ended_ms
from jsonb_each(:keys) k join items i on i.job = k.value ->> 0 and i.number = k.value ->> 1
join inputs n on n.job = i.job and n.number = i.number
where i.status = 'SUCCESS' and n.window_start_ms is not null;

-- name: keep_windows
-- Of several items of a window the newest counts, and the latest moment at which any of them wrote.
insert into past_windows (task, window_start_ms, window_end_ms, job, number, key, definition, rows, ended_ms)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8
from jsonb_each(:rows) where true
on conflict (task, window_start_ms, window_end_ms) do update set
    job = max(excluded.job, past_windows.job),
    number = case when excluded.job >= past_windows.job then excluded.number else past_windows.number end,
    key = case when excluded.job >= past_windows.job then excluded.key else past_windows.key end,
    definition = case when excluded.job >= past_windows.job then excluded.definition else past_windows.definition end,
    rows = case when excluded.job >= past_windows.job then excluded.rows else past_windows.rows end,
    ended_ms = max(excluded.ended_ms, past_windows.ended_ms);

-- name: windows_past
select p.job, p.number, p.task, p.window_start_ms, p.definition, p.rows, p.ended_ms
from jsonb_each(:keys) k join past_windows p on p.job = k.value ->> 0 and p.number = k.value ->> 1;

-- name: calls_jobs
-- The jobs that hold the calls of some workflows' items; keys are job, number and the generation from which on they count.
select j.parent_job, j.parent_number, j.id
from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1
    and j.epoch = k.value ->> 2;

-- name: calls_counts
-- How many calls of some workflows' items are in each status; keys as in calls_jobs.
select j.parent_job, j.parent_number, j.pending, j.started, j.retry, j.success, j.failure, j.revoked
from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1
    and j.epoch = k.value ->> 2;

-- name: calls_below
-- The jobs that hold the calls of some workflows' items, and those of the workflows among these calls, and so on.
with recursive below (id) as (
    select j.id from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1
    union
    select j.id from below b join jobs j on j.parent_job = b.id)
select id from below;

-- name: calls_unended
-- Which of some workflows' items have called something that has not ended, or whose own calls have not.
with recursive below (job, number, id, unended) as (
    select j.parent_job, j.parent_number, j.id, j.pending + j.started + j.retry > 0
    from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1
    union
    select b.job, b.number, j.id, j.pending + j.started + j.retry > 0 from below b join jobs j on j.parent_job = b.id)
select distinct job, number from below where unended;

-- name: calls_children
select j.id from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1;

-- name: items_of_jobs
select job, number from items where job in (select value from json_each(:jobs)) order by job, number;

-- name: calls_of_jobs
-- Which of these jobs hold the calls of a workflow.
select id from jobs where id in (select value from json_each(:jobs)) and parent_job is not null;

-- name: set_calls
insert into calls (job, place, number, digest, round)
select :job, v.value ->> 0, v.value ->> 1, v.value ->> 2, v.value ->> 3 from jsonb_each(:rows) v where true
on conflict (job, place) do update set number = excluded.number, digest = excluded.digest, round = excluded.round;

-- name: calls_at
select place, number, digest, round from calls where job = :job and place in (select value from json_each(:places));

-- name: read_calls
-- All calls of some workflows, with how they ended.
select c.place, i.job, i.number, t.name, c.digest, c.round, i.status, i.reason, i.failure_class, a.result, a.error_type,
    a.error_message, c.job
from calls c join items i on i.job = c.job and i.number = c.number join tasks t on t.id = i.task
left join attempts a on a.job = i.job and a.number = i.number and a.token = case when i.status = 'FAILURE'
    then (select max(token) from attempts where job = i.job and number = i.number) else i.token end
where c.job in (select value from json_each(:jobs));

-- name: read_called
-- The same of single calls, with whose they are.
select c.place, i.job, i.number, t.name, c.digest, c.round, i.status, i.reason, i.failure_class, a.result, a.error_type,
    a.error_message, j.parent_job, j.parent_number
from jsonb_each(:keys) k join calls c on c.job = k.value ->> 0 and c.number = k.value ->> 1
join items i on i.job = c.job and i.number = c.number join tasks t on t.id = i.task join jobs j on j.id = c.job
left join attempts a on a.job = i.job and a.number = i.number and a.token = case when i.status = 'FAILURE'
    then (select max(token) from attempts where job = i.job and number = i.number) else i.token end;

-- name: add_arrivals
-- Calls that have ended, for the workers that run the bodies which wait for them; where none does, the next one reads them all.
insert into arrivals (worker, job, number)
select p.worker, j.id, k.value ->> 1
from jsonb_each(:keys) k join jobs j on j.id = k.value ->> 0 and j.parent_job is not null
join items p on p.job = j.parent_job and p.number = j.parent_number
where p.worker is not null
on conflict (worker, job, number) do nothing returning worker;

-- name: seal_calls
-- Of workflows that have ended: no call is added any more.
update jobs set sealed = 1, ended_ms = case when pending + started + retry = 0 then coalesce(ended_ms, :now) end
where id in (select j.id from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1) and sealed = 0;

-- name: reopen_calls
-- Of workflows that run again: their calls are wanted again.
update jobs set sealed = 0, ended_ms = null, cancel_ms = null
where id in (select j.id from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1
    and j.epoch = k.value ->> 2);

-- name: flag_calls
-- Of workflows that somebody wants cancelled: claims honour the flag from this commit on.
update jobs set cancel_ms = :now, sealed = 1, ended_ms = case when pending + started + retry = 0 then coalesce(ended_ms, :now) end
where id in (select j.id from jsonb_each(:keys) k join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1) and cancel_ms is null and ended_ms is null
returning id;

-- name: prune_calls
delete from calls where (job, number) in (select k.value ->> 0, k.value ->> 1 from jsonb_each(:keys) k);

-- name: prune_arrivals
delete from arrivals where worker in (select value from json_each(:workers));

-- name: prune_attempts
delete from attempts where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_checkpoints
delete from checkpoints where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_logs
delete from logs where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_progress
delete from progress where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_successors
delete from successors where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_events
delete from events where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_inputs
delete from inputs where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_items
delete from items where (job, number) in (select value ->> 0, value ->> 1 from jsonb_each(:keys));

-- name: prune_job_events
delete from events where job in (select value from json_each(:jobs)) and number is null;

-- name: prune_jobs
delete from jobs where id in (select value from json_each(:jobs));

-- name: prune_worker_tasks
delete from worker_tasks where worker in (select value from json_each(:workers));

-- name: prune_workers
delete from workers where id in (select value from json_each(:workers));

-- name: prune_operations
-- There are none here: a commit's answer cannot be lost.
select 1 where 0 and :before + :limit is null;

-- name: free_pages
-- Pages of the file that hold nothing, and all pages.
select (select freelist_count from pragma_freelist_count()), (select page_count from pragma_page_count());

-- name: give_back_pages
pragma incremental_vacuum(1000);

-- name: first_ends
-- How the attempts of the first work items of some jobs ended.
select a.job, a.outcome, a.failure_class from attempts a where a.job in (select value from json_each(:jobs)) and a.number = 0 order by a.job, a.token;

-- name: recent_runs
-- The newest jobs of each task.
select j.task, j.id, j.created_ms, j.sealed, j.pending, j.started, j.retry, j.success, j.failure, j.revoked
from tasks t join jobs j on j.id in (select id from jobs where task = t.id and parent_job is null order by id desc limit :limit)
where t.namespace = :namespace order by j.id;

-- name: failed_by_class
-- Of no more than so many: how many of a job's items failed, by class.
select failure_class, count(*)
from (select failure_class from items indexed by items_status where job = :job and status = 'FAILURE' limit :limit) f
group by failure_class order by count(*) desc, failure_class;

-- name: find_bulks
-- Some operations as they are.
select id, name, action, mode, filter, accept_risk, forward, actor, source, reason, address, pipelines, state, error, matched,
    place, together, done, skipped, size, due_ms, created_ms, touched_ms, started_ms, ended_ms
from bulk_operations where id in (select value from json_each(:ids));

-- name: job_ranges
-- The first and the last work item of some jobs: between them lie the others, in the order in which they were submitted.
select j.id, t.name, j.tz, n.key, n.window_start_ms, n.window_end_ms
from jobs j join tasks t on t.id = j.task cross join (select 0 as side union select 1) e
join inputs n on n.job = j.id and n.number = e.side * (j.pending + j.started + j.retry + j.success + j.failure + j.revoked - 1)
where j.id in (select value from json_each(:jobs)) order by j.id, n.number;

-- name: count_causes
-- Adds to the counts of causes. Rows without parts only take away: they change what is there. What is said of a cause stays as it
-- was said first; its class and the sample are the newest.
insert into causes (task, cause, version, failure_class, error_type, title, parts, failures, failed_now, first_ms, last_ms,
    sample_job, sample_number, sample_token)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
    value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13
from jsonb_each(:rows)
where value ->> 6 <> '' or exists (select 1 from causes where task = value ->> 0 and cause = value ->> 1)
on conflict (task, cause) do update set failures = causes.failures + excluded.failures,
    failed_now = causes.failed_now + excluded.failed_now, last_ms = max(causes.last_ms, excluded.last_ms),
    failure_class = case when excluded.failures = 0 then causes.failure_class else excluded.failure_class end,
    sample_job = case when excluded.failures = 0 then causes.sample_job else excluded.sample_job end,
    sample_number = case when excluded.failures = 0 then causes.sample_number else excluded.sample_number end,
    sample_token = case when excluded.failures = 0 then causes.sample_token else excluded.sample_token end;

-- name: failed_by_cause
-- Of some items that are about to be removed: how many count as failed, of what.
select i.task, i.cause, count(*)
from jsonb_each(:keys) k join items i on i.job = k.value ->> 0 and i.number = k.value ->> 1 join jobs j on j.id = i.job
where i.status = 'FAILURE' and i.cause is not null and j.parent_job is null group by i.task, i.cause;

-- name: list_causes
-- Causes of a namespace, those seen first last. By when they were seen first, since that never changes while somebody pages.
select c.cause, min(c.first_ms) from causes c join tasks t on t.id = c.task
where t.namespace = :namespace and (:name is null or t.name = :name)
    and (:tasks is null or t.name in (select value from json_each(:tasks)))
    and (:failure_class is null or c.failure_class = :failure_class)
group by c.cause
having (:since is null or max(c.last_ms) >= :since) and (:first is null or (min(c.first_ms), c.cause) < (:first, :cause))
order by min(c.first_ms) desc, c.cause desc limit :limit;

-- name: read_causes
select c.cause, t.name, c.version, c.failure_class, c.error_type, c.title, c.parts, c.failures, c.failed_now, c.first_ms, c.last_ms,
    c.sample_job, c.sample_number, c.sample_token
from causes c join tasks t on t.id = c.task
where c.cause in (select value from json_each(:causes)) and t.namespace = :namespace and (:name is null or t.name = :name)
    and (:tasks is null or t.name in (select value from json_each(:tasks)))
order by c.last_ms desc, c.task;

-- name: prune_causes
delete from causes where (task, cause) in (select task, cause from causes where last_ms < :before and failed_now <= 0 limit :limit)
returning 1;

-- name: begin_folding
-- The transaction holds the only write lock already; elsewhere one process sums up at a time.
select 1;

-- name: add_tallies
insert into tallies (task, day, measure, kind, detail, value)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 from jsonb_each(:rows);

-- name: add_to_trends
insert into trends (task, day, measure, kind, detail, value)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 from jsonb_each(:rows) where true
on conflict (task, day, measure, kind, detail) do update set value = trends.value + excluded.value;

-- name: add_to_totals
insert into totals (task, measure, kind, detail, value)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from jsonb_each(:rows) where true
on conflict (task, measure, kind, detail) do update set value = totals.value + excluded.value;

-- name: read_trends
-- What was counted of some tasks on the days from `first` to `end`, without that one, be it summed up yet or not.
select task, day, measure, kind, detail, sum(value) from (
    select task, day, measure, kind, detail, value from trends
    where task in (select value from json_each(:tasks)) and day >= :first and day < :end
    union all
    select task, day, measure, kind, detail, value from tallies
    where task in (select value from json_each(:tasks)) and day >= :first and day < :end)
group by task, day, measure, kind, detail;

-- name: read_totals
select task, measure, kind, detail, sum(value) from (
    select task, measure, kind, detail, value from totals where task in (select value from json_each(:tasks))
    union all
    select task, measure, kind, detail, value from tallies where task in (select value from json_each(:tasks)))
group by task, measure, kind, detail;

-- name: any_broken_window
-- Names of windows begin with a letter, those of single items with a digit.
select 1 from outages where task in (select value from json_each(:tasks)) and subject >= 'w' limit 1;

-- name: in_broken_windows
-- Which of some items are for a window that has failed and not succeeded since.
select n.job, n.number from jsonb_each(:keys) k
join inputs n on n.job = k.value ->> 0 and n.number = k.value ->> 1
join outages o on o.task = n.task and o.subject = 'w' || n.window_start_ms || '/' || n.window_end_ms;

-- name: subjects
-- Under which name items may be in `outages`.
select n.job, n.number, n.task,
    case when n.window_start_ms is null then n.job || '-' || n.number else 'w' || n.window_start_ms || '/' || n.window_end_ms end
from jsonb_each(:keys) k join inputs n on n.job = k.value ->> 0 and n.number = k.value ->> 1;

-- name: first_failures
-- When an attempt failed first; rows are job, number and generation.
select v.value ->> 0, v.value ->> 1,
    (select min(ended_ms) from attempts where job = v.value ->> 0 and number = v.value ->> 1
        and generation = v.value ->> 2 and failure_class is not null)
from jsonb_each(:rows) v;

-- name: open_outages
-- Of what is broken already the first failure counts.
insert into outages (task, subject, since_ms)
select value ->> 0, value ->> 1, value ->> 2 from jsonb_each(:rows) where true
on conflict (task, subject) do nothing;

-- name: close_outages
delete from outages where (task, subject) in (select value ->> 0, value ->> 1 from jsonb_each(:rows))
returning task, subject, since_ms;

-- name: prune_outages
-- Of single items, which are gone by then; that a window is broken stays known until it succeeds.
delete from outages where (task, subject) in (
    select i.task, i.job || '-' || i.number from jsonb_each(:keys) k
    join items i on i.job = k.value ->> 0 and i.number = k.value ->> 1);

-- name: lock_bulk
-- The transaction holds the only write lock already; elsewhere one process at a time does a page of an operation.
select 1 where :id is not null;

-- name: add_bulk_items
-- What is there already has been matched before.
insert into bulk_items (operation, position, job, number, generation)
select :id, value ->> 0, value ->> 1, value ->> 2, value ->> 3 from jsonb_each(:rows) where true
on conflict do nothing returning 1;

-- name: among_bulk
select b.job, b.number from jsonb_each(:keys) k
join bulk_items b on b.operation = :id and b.job = k.value ->> 0 and b.number = k.value ->> 1;

-- name: drop_bulk_items
delete from bulk_items where (operation, position) in (
    select operation, position from bulk_items where operation = :id order by position limit :limit)
returning 1;

-- name: count_saved
-- How much is kept for a recover of some items: results of steps and cursors of those generations that count.
select c.kind, count(*) from jsonb_each(:keys) k
join checkpoints c on c.job = k.value ->> 0 and c.number = k.value ->> 1 and c.generation >= k.value ->> 2
group by c.kind;

-- name: count_kept_calls
-- Calls that succeeded, of workflows as they were called since they were begun or restarted last.
select coalesce(sum(j.success), 0) from jsonb_each(:keys) k
join jobs j on j.parent_job = k.value ->> 0 and j.parent_number = k.value ->> 1 and j.epoch = k.value ->> 2;

-- name: job_origins
-- Jobs with the job at the top of all that called each other, by whose names their traces are known.
with recursive up (job, at) as (
    select value, value from json_each(:jobs)
    union all
    select u.job, j.parent_job from up u join jobs j on j.id = u.at where j.parent_job is not null)
select j.id, j.parent_job, j.parent_number, r.id, t.namespace, t.name, r.run_id, r.created_ms, r.traceparent
from up u join jobs r on r.id = u.at and r.parent_job is null join tasks t on t.id = r.task join jobs j on j.id = u.job;

-- name: attempts_of
-- What became of the attempts of some items, oldest first.
select a.job, a.number, a.token, a.generation, a.attempt, a.reason, a.failure_class, a.claimed_ms, a.ended_ms, a.delay_ms
from jsonb_each(:keys) k join attempts a on a.job = k.value ->> 0 and a.number = k.value ->> 1
order by a.job, a.number, a.token;

-- name: keys_of
select n.job, n.number, n.key
from jsonb_each(:keys) k join inputs n on n.job = k.value ->> 0 and n.number = k.value ->> 1;

-- name: ends_of
-- When some jobs have ended, and when somebody acted on the whole of them, in order.
select job, kind, at_ms from events
where job in (select value from json_each(:jobs)) and number is null and kind in ('job_ended', 'acted')
order by job, id;
