-- name: lock_jobs
-- The row of a job is the lock of its items: who changes items takes it first, in the order of ids, so that nobody waits in a ring.
select id from jobs where id = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) order by id
for no key update;

-- name: lock_admin_keys
-- Two that revoke each other's key at the same moment would leave none: each must see what the other has done.
select id from access_keys where role = 'admin' and revoked_ms is null order by id for no key update;

-- name: lock_task
-- For what must be decided about a task by one at a time: its limit of concurrency, which windows are missing, a pause.
select id from tasks where id = :task for no key update;

-- name: is_living
-- Held until the end of the transaction: nobody declares this worker lost while it settles and claims.
select 1 from workers where id = :worker and stopped_ms is null and lost_ms is null for share;

-- name: heads
-- For every task, kind and priority the earliest due time: says what may be claimed now and when to look again.
select t.task, o.once, p.priority, i.due_ms
from (select value::bigint as task from jsonb_array_elements_text(:tasks::jsonb) offset 0) t
-- Most tasks have nothing waiting: one look instead of one for each kind and priority. Not `exists`, for which statistics may
-- have all that waits gone through.
cross join lateral (select 1 from items where task = t.task and status in ('PENDING', 'RETRY') limit 1) waiting
cross join (values (0), (1)) o (once)
cross join generate_series(1, 5) p (priority)
cross join lateral (
    select due_ms from items
    where task = t.task and once = o.once and priority = p.priority and status in ('PENDING', 'RETRY')
    order by due_ms limit 1) i
where not exists (select 1 from tasks where id = t.task and paused_ms is not null);

-- name: claim_at_once
-- Takes the jobs of the next items that nobody else is busy with (a job that is being cancelled and an item whose time is over
-- start nothing, and keep nobody behind them waiting), starts their items as deciding on Claimed does, and counts them. What
-- changed after this statement began has another version: it is left out. No attempt begins before the one before it ended, by
-- whose clock ever.
with locked as materialized (
    select id, run_id, tz from jobs
    where (cancel_ms is null or ended_ms is not null) and id = any (array(
        select job from items
        where task = :task and once = :once and priority = :priority and status in ('PENDING', 'RETRY') and due_ms <= :now
            and (deadline_ms is null or deadline_ms > :now)
            and job not in (select id from jobs where cancel_ms is not null and ended_ms is null)
        order by due_ms, job, number limit :limit))
    order by id for no key update skip locked
), found as materialized (
    select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
        i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
        i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause, n.key, n.arguments, n.window_start_ms, n.window_end_ms
    from items i join inputs n on n.job = i.job and n.number = i.number
    where i.task = :task and i.once = :once and i.priority = :priority and i.status in ('PENDING', 'RETRY') and i.due_ms <= :now
        and (i.deadline_ms is null or i.deadline_ms > :now)
        and i.job = any (array(select id from locked))
    order by i.due_ms, i.job, i.number limit :limit
), taken as (
    update items set status = 'STARTED', wait = null, token = items.token + 1, attempt = items.attempt + 1,
        version = items.version + 1, worker = :worker, claimed_ms = case when items.token = 0 then :now
            else greatest(:now, (select ended_ms from attempts a where a.job = items.job and a.number = items.number
                                 order by a.token desc limit 1)) end
    from found f
    where items.job = any (array[f.job]) and items.number between f.number and f.number and items.version = f.version
    returning f.*, items.claimed_ms as since_ms
), counted as (
    update jobs set pending = jobs.pending - s.pending, retry = jobs.retry - s.retry, started = jobs.started + s.pending + s.retry
    from (
        select job, count(*) filter (where status = 'PENDING') as pending, count(*) filter (where status = 'RETRY') as retry
        from taken group by job) s
    where jobs.id = any (array[s.job])
)
select t.*, j.run_id, j.tz, j.parent_job is not null from taken t join jobs j on j.id = any (array[t.job]);

-- name: settle_at_once
-- What deciding on Succeeded does, for many rows at once: the columns that no other event leaves alone, the attempts, the counters
-- of the jobs. Returns what was still as expected, and the jobs that have ended, each with when.
with moved as (
    update items set status = 'SUCCESS', reason = v.reason, version = items.version + 1, worker = null, claimed_ms = null,
        crashes = 0, failure_class = null, cause = null, ended_ms = v.ended_ms
    from (
        select (e ->> 0)::bigint as job, (e ->> 1)::bigint as number, (e ->> 2)::bigint as version, e ->> 3 as reason,
            (e ->> 4)::bigint as ended_ms, (e ->> 5)::bigint as token, (e ->> 6)::bigint as generation,
            (e ->> 7)::bigint as attempt, (e ->> 8)::bigint as worker, e ->> 9 as why, (e ->> 10)::bigint as claimed_ms,
            (e ->> 11)::bigint as started_ms, (e ->> 12)::bigint as left_ms, (e ->> 13)::bigint as rows, e ->> 14 as result,
            (e ->> 15)::bigint as pid
        from jsonb_array_elements(:rows::jsonb) e
    ) v
    where items.job = any (array[v.job]) and items.number between v.number and v.number and items.version = v.version
        and items.status = 'STARTED'
    returning v.*
), added as (
    insert into attempts (job, number, token, generation, attempt, worker, outcome, reason, claimed_ms, started_ms, ended_ms,
        rows, result, pid)
    select job, number, token, generation, attempt, worker, 'SUCCEEDED', why, claimed_ms, started_ms, left_ms, rows, result, pid
    from moved
), counted as (
    update jobs set started = jobs.started - m.count, success = jobs.success + m.count,
        ended_ms = case when jobs.sealed = 1 and jobs.pending + jobs.started - m.count + jobs.retry = 0
                        then coalesce(jobs.ended_ms, :now) end
    from (select job, count(*) as count from moved group by job) m
    where jobs.id = any (array[m.job])
    returning jobs.id, jobs.ended_ms
)
select job, number, null::bigint from moved union all select id, null, ended_ms from counted where ended_ms is not null;

-- name: apply_at_once
-- The same for any other move: every changeable column of rows whose version is still the expected one, with the status that each
-- had, and with the attempt that ended by it, if one did.
with moved as (
    update items set definition = v.definition, once = v.once, status = v.status, due_ms = v.due_ms, wait = v.wait,
        generation = v.generation, attempt = v.attempt, token = v.token, version = items.version + 1, worker = v.worker,
        claimed_ms = v.claimed_ms, cancel_ms = v.cancel_ms, deadline_ms = v.deadline_ms, cutoff_ms = v.cutoff_ms,
        charges = v.charges, crashes = v.crashes, snoozes = v.snoozes, keep_from = v.keep_from, reason = v.reason,
        failure_class = v.failure_class, ended_ms = v.ended_ms, cause = v.cause
    from (
        select e as it, (e ->> 0)::bigint as job, (e ->> 1)::bigint as number, (e ->> 2)::bigint as expected,
            (e ->> 3)::bigint as definition, (e ->> 4)::smallint as once, e ->> 5 as status, (e ->> 6)::bigint as due_ms,
            e ->> 7 as wait, (e ->> 8)::bigint as generation, (e ->> 9)::bigint as attempt, (e ->> 10)::bigint as token,
            (e ->> 11)::bigint as worker, (e ->> 12)::bigint as claimed_ms, (e ->> 13)::bigint as cancel_ms,
            (e ->> 14)::bigint as deadline_ms, (e ->> 15)::bigint as cutoff_ms, e ->> 16 as charges,
            (e ->> 17)::bigint as crashes, (e ->> 18)::bigint as snoozes, (e ->> 19)::bigint as keep_from,
            e ->> 20 as reason, e ->> 21 as failure_class, (e ->> 22)::bigint as ended_ms, e ->> 23 as cause, e ->> 24 as before
        from jsonb_array_elements(:rows::jsonb) e
    ) v
    where items.job = any (array[v.job]) and items.number between v.number and v.number and items.version = v.expected
    returning v.it, v.job, v.number, v.before, v.status
), added as (
    insert into attempts (job, number, token, generation, attempt, worker, outcome, reason, claimed_ms, started_ms, ended_ms,
        failure_class, rule, error_type, error_message, failure, entry, charged, delay_ms, planned_ms, retry_after_ms, rows, result,
        exit_code, signal, pid, cause)
    select job, number, (it ->> 25)::bigint, (it ->> 26)::bigint, (it ->> 27)::bigint, (it ->> 28)::bigint, it ->> 29, it ->> 30,
        (it ->> 31)::bigint, (it ->> 32)::bigint, (it ->> 33)::bigint, it ->> 34, it ->> 35, it ->> 36, it ->> 37, it ->> 38,
        (it ->> 39)::bigint, (it ->> 40)::bigint, (it ->> 41)::bigint, (it ->> 42)::bigint, (it ->> 43)::bigint,
        (it ->> 44)::bigint, it ->> 45, (it ->> 46)::bigint, (it ->> 47)::bigint, (it ->> 48)::bigint,
        it ->> 49
    from moved where jsonb_array_length(it) > 25
), counted as (
    update jobs set pending = jobs.pending + m.pending, started = jobs.started + m.started, retry = jobs.retry + m.retry,
        success = jobs.success + m.success, failure = jobs.failure + m.failure, revoked = jobs.revoked + m.revoked,
        ended_ms = case when jobs.sealed = 1
                             and jobs.pending + m.pending + jobs.started + m.started + jobs.retry + m.retry = 0
                        then coalesce(jobs.ended_ms, :now) end
    from (
        select job, sum((status = 'PENDING')::int - (before = 'PENDING')::int) as pending,
            sum((status = 'STARTED')::int - (before = 'STARTED')::int) as started,
            sum((status = 'RETRY')::int - (before = 'RETRY')::int) as retry,
            sum((status = 'SUCCESS')::int - (before = 'SUCCESS')::int) as success,
            sum((status = 'FAILURE')::int - (before = 'FAILURE')::int) as failure,
            sum((status = 'REVOKED')::int - (before = 'REVOKED')::int) as revoked
        from moved where status <> before group by job) m
    where jobs.id = any (array[m.job])
    returning jobs.id, jobs.ended_ms
)
select job, number, null::bigint from moved union all select id, null, ended_ms from counted where ended_ms is not null;

-- name: read_items
-- Items of a job whose details are being removed are shown only to those who ask for what is left of them.
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (select * from items where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) i
where :removed = 1 or i.job not in (select id from jobs where pruned_to is not null);

-- name: add_items
insert into items (job, number, task, definition, once, priority, status, due_ms, wait, generation, attempt, token, version,
    deadline_ms, cutoff_ms, charges, crashes, snoozes, keep_from, reason, created_ms)
select :job, (e ->> 0)::bigint, :task, :definition, :once, :priority, 'PENDING', :due_ms, :wait, 1, 0, 0, 0,
    cast(:deadline_ms as bigint), cast(:cutoff_ms as bigint), '[]', 0, 0, 1, 'submitted', :now
from jsonb_array_elements(:rows::jsonb) e;

-- name: add_inputs
insert into inputs (job, number, task, key, arguments, window_start_ms, window_end_ms)
select :job, (e ->> 0)::bigint, :task, e ->> 1, e ->> 2, (e ->> 3)::bigint, (e ->> 4)::bigint
from jsonb_array_elements(:rows::jsonb) e;

-- name: add_whole_at_once
-- What add_job, add_items and add_inputs do, for a job that is complete with these. Nothing returned means that another submission
-- has the run id.
with added as (
    insert into jobs (task, run_id, named, kind, input_digest, tz, labels, sealed, total_ms, traceparent, pending, created_ms,
        touched_ms)
    values (:task, :run_id, :named, :kind, :input_digest, :tz, :labels, 1, :total_ms, :traceparent, :pending, :now, :now)
    on conflict (task, run_id) where parent_job is null do nothing returning id
), items_added as (
    insert into items (job, number, task, definition, once, priority, status, due_ms, wait, generation, attempt, token, version,
        deadline_ms, cutoff_ms, charges, crashes, snoozes, keep_from, reason, created_ms)
    select a.id, (e ->> 0)::bigint, :task, :definition, :once, :priority, 'PENDING', :due_ms, :wait, 1, 0, 0, 0,
        cast(:deadline_ms as bigint), cast(:cutoff_ms as bigint), '[]', 0, 0, 1, 'submitted', :now
    from added a cross join jsonb_array_elements(:rows::jsonb) e
), inputs_added as (
    insert into inputs (job, number, task, key, arguments, window_start_ms, window_end_ms)
    select a.id, (e ->> 0)::bigint, :task, e ->> 1, e ->> 2, (e ->> 3)::bigint, (e ->> 4)::bigint
    from added a cross join jsonb_array_elements(:rows::jsonb) e
)
select id from added;

-- name: keys_there
-- Which of these keys a job's work items have already.
select key from inputs where job = :job and key = any (array(select jsonb_array_elements_text(:keys::jsonb)));

-- name: held_by
-- A lost worker's items are taken back a page at a time: those taken are held no more.
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i where i.worker = :worker order by i.job, i.number limit :limit;

-- name: asked_to_stop
-- Items a worker runs that somebody wants cancelled.
select job, number, token from items where worker = :worker and cancel_ms is not null;

-- name: expired
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i where i.deadline_ms is not null and i.deadline_ms <= :now and i.status in ('PENDING', 'RETRY')
order by i.deadline_ms limit :limit;

-- name: next_deadline
select min(deadline_ms) from items where deadline_ms is not null and status in ('PENDING', 'RETRY');

-- name: running_of_job
-- Goes through what runs, which is never more than the workers hold, and not through the whole job: hence the addition.
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i where i.worker is not null and i.job + 0 = :job;

-- name: waiting_of_job
select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation, i.attempt, i.token,
    i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes, i.snoozes, i.keep_from,
    i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause
from items i where i.job = :job and i.number >= :first and i.status in ('PENDING', 'RETRY') order by i.number limit :limit;

-- name: add_logs
-- A piece that is there already is one whose commit was not answered.
insert into logs (job, number, token, part, at_ms, text)
select (e ->> 0)::bigint, (e ->> 1)::bigint, (e ->> 2)::bigint, (e ->> 3)::bigint, :now, e ->> 4
from jsonb_array_elements(:rows::jsonb) e
on conflict (job, number, token, part) do nothing;

-- name: set_progress
insert into progress (job, number, token, done, total, at_ms)
select (e ->> 0)::bigint, (e ->> 1)::bigint, (e ->> 2)::bigint, (e ->> 3)::double precision, (e ->> 4)::double precision, :now
from jsonb_array_elements(:rows::jsonb) e
on conflict (job, number) do update set token = excluded.token, done = excluded.done, total = excluded.total,
    at_ms = excluded.at_ms;

-- name: read_saved
-- Steps and cursors of many items at once: rows are job, number and the generation from which on they count. Each item is looked
-- up by itself, and nothing is ordered: a plan that follows an order, or takes the table for an empty one, would read all of it.
select c.job, c.number, c.generation, c.kind, c.key, c.value
from jsonb_array_elements(:rows::jsonb) e
cross join lateral (
    select job, number, generation, kind, key, value from checkpoints
    where job = (e ->> 0)::bigint and number = (e ->> 1)::bigint and generation >= (e ->> 2)::bigint offset 0) c;

-- name: read_jobs
select id, run_id, tz, parent_job is not null from jobs where id = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb)));

-- name: job_limits
-- Jobs that were submitted with a total_timeout of their own, which holds for every generation of their items.
select id, total_ms from jobs
where id = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) and total_ms is not null;

-- name: rows_written
-- What each attempt of some items said that it wrote. Each item is looked up by itself, as in read_saved.
select a.job, a.number, a.token, a.outcome, a.rows
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (
    select job, number, token, outcome, rows from attempts
    where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) a;

-- name: windows_of
select n.job, n.number, n.window_start_ms, n.window_end_ms
from jsonb_array_elements(:keys::jsonb) k
join inputs n on n.job = any (array[(k ->> 0)::bigint]) and n.number between (k ->> 1)::bigint and (k ->> 1)::bigint
where n.window_start_ms is not null;

-- name: window_rivals
-- The other work items for the windows of some, with the same arguments.
select n.job, n.number, o.job, o.number, i.status, i.ended_ms
from jsonb_array_elements(:keys::jsonb) k
join inputs n on n.job = any (array[(k ->> 0)::bigint]) and n.number between (k ->> 1)::bigint and (k ->> 1)::bigint
join inputs o on o.task = n.task and o.window_start_ms = n.window_start_ms and o.window_end_ms = n.window_end_ms
join items i on i.job = o.job and i.number = o.number
where o.arguments = n.arguments and (o.job, o.number) <> (n.job, n.number);

-- name: find_successor
-- Locked, as below: who ends an item and who retries the one after it must not miss each other.
select next_job, next_number from successors where job = :job and number = :number for update;

-- name: followers
-- What comes right after some items in their orders. Not locked: by this it is seen which jobs must be locked first.
select s.job, s.number, s.next_job, s.next_number
from jsonb_array_elements(:keys::jsonb) k
join lateral (select * from successors where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) s on true;

-- name: predecessors
-- Which items some others come after, as far as those have not succeeded since.
select s.next_job, s.next_number, s.job, s.number
from jsonb_array_elements(:keys::jsonb) k
join successors s on s.next_job = any (array[(k ->> 0)::bigint]) and s.next_number between (k ->> 1)::bigint and (k ->> 1)::bigint
for update of s;

-- name: jobs_with_checkpoints
-- Which of some jobs have any checkpoint. Each is looked up by itself, as in read_saved.
select j.job
from (select value::bigint as job from jsonb_array_elements_text(:jobs::jsonb)) j
cross join lateral (select 1 from checkpoints where job = j.job offset 0 limit 1) c;

-- name: checkpoint_definitions
-- Under which definitions the checkpoints of some items were saved that count for their present generation.
-- Each is looked up by itself, as in read_saved.
select distinct c.definition
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (
    select job, number, keep_from from items where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) i
cross join lateral (
    select definition from checkpoints where job = i.job and number = i.number and generation >= i.keep_from offset 0) c;

-- name: next_retry
-- When the first item of a job is tried again. Those that failed are looked at too, so that it goes by the index of these statuses.
select min(due_ms) filter (where status = 'RETRY') from items where job = :job and status in ('RETRY', 'FAILURE');

-- name: first_wait
-- What a job waits for whose items all wait: none of them may start yet, of which one look is enough in a job that is ready.
-- The status is said in a way that keeps it off the index of all that waits, which other jobs may have filled.
select wait, due_ms from items
where job = :job and status || '' = 'PENDING'
    and not exists (select 1 from items where job = :job and status || '' = 'PENDING' and due_ms <= :now)
order by due_ms, number limit 1;

-- name: first_failure
select i.number, i.reason, a.error_type, a.error_message from items i
left join attempts a on a.job = i.job and a.number = i.number
    and a.token = (select max(token) from attempts where job = i.job and number = i.number)
where i.job = :job and i.status = 'FAILURE' order by i.number limit 1;

-- name: count_running
-- For tasks with a limit: reads what runs, which is never more than the workers hold.
select count(*) from items where worker is not null and task = :task;

-- name: read_events
-- Events after one that was read before, below the oldest running transaction: whatever is older than that is visible by now.
select xid::text::bigint, id, at_ms, kind, job, number, generation, reason from events
where (xid, id) > (cast(cast(:position as text) as xid8), :id) and xid < pg_snapshot_xmin(pg_current_snapshot())
order by xid, id limit :limit;

-- name: events_end
-- Below the oldest running transaction everything is visible; what comes from there on is yet to be read.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint, 0;

-- name: add_events
insert into events (at_ms, kind, job, number, reason)
select :now, :kind, (v ->> 0)::bigint, (v ->> 1)::bigint, :reason from jsonb_array_elements(:rows::jsonb) v;

-- name: jobs_and_pipelines
-- Jobs as they are, each with the job at the top of all that called each other, whose task is the pipeline.
with recursive up (job, at) as (
    select value::bigint, value::bigint from jsonb_array_elements_text(:jobs::jsonb)
    union all
    select u.job, j.parent_job from up u cross join lateral (select parent_job from jobs where id = u.at offset 0) j
    where j.parent_job is not null)
select j.id, r.id, t.namespace, t.name, j.run_id, j.cancel_ms, j.ended_ms,
    j.pending, j.started, j.retry, j.success, j.failure, j.revoked
from up u cross join lateral (select id, task, parent_job from jobs where id = u.at offset 0) r
join tasks t on t.id = r.task
cross join lateral (select * from jobs where id = u.job offset 0) j
where r.parent_job is null;

-- name: living_login_sessions
-- Of some, those that are not over: seen since one moment, begun since another.
select digest, key from login_sessions
where digest = any (array(select jsonb_array_elements_text(:digests::jsonb))) and seen_ms > :seen and created_ms > :created;

-- name: begin_retention
-- One process removes at a time, until its transaction ends; nothing returned means that another one is at it.
select 1 where pg_try_advisory_xact_lock(hashtext('mulligan retention'), hashtext(current_schema()));

-- name: pruning_jobs
-- Large jobs whose details are removed in pieces: how many items each had, and from which on there are still some.
select id, named, success + failure + revoked, pruned_to from jobs where pruned_to is not null order by id limit :limit
for update skip locked;

-- name: past_jobs
-- Jobs that ended before a moment, the oldest first; those that somebody is busy with have their turn later.
select id, named, success + failure + revoked, 0 from jobs
where ended_ms < :before and ended_ms is not null and pruned_ms is null and release_ms is null
    -- The calls of a workflow are needed for as long as it can be retried.
    and not exists (select 1 from jobs p where p.id = jobs.parent_job and p.pruned_ms is null)
order by ended_ms, id limit :limit
for update skip locked;

-- name: past_successes
-- What the ledger needs to know of items that succeeded for a window. Each is looked up by itself, as in read_saved.
select i.task, n.window_start_ms, n.window_end_ms, i.job, i.number, n.key, i.definition, i.ended_ms
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (
    select task, job, number, definition, status, ended_ms from items
    where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) i
cross join lateral (
    select key, window_start_ms, window_end_ms from inputs where job = i.job and number = i.number offset 0) n
where i.status = 'SUCCESS' and n.window_start_ms is not null;

-- name: keep_windows
-- Of several items of a window the newest counts, and the latest moment at which any of them wrote.
insert into past_windows (task, window_start_ms, window_end_ms, job, number, key, definition, rows, ended_ms)
select (e ->> 0)::bigint, (e ->> 1)::bigint, (e ->> 2)::bigint, (e ->> 3)::bigint, (e ->> 4)::bigint, e ->> 5,
    (e ->> 6)::bigint, (e ->> 7)::bigint, (e ->> 8)::bigint
from jsonb_array_elements(:rows::jsonb) e
on conflict (task, window_start_ms, window_end_ms) do update set
    job = greatest(excluded.job, past_windows.job),
    number = case when excluded.job >= past_windows.job then excluded.number else past_windows.number end,
    key = case when excluded.job >= past_windows.job then excluded.key else past_windows.key end,
    definition = case when excluded.job >= past_windows.job then excluded.definition else past_windows.definition end,
    rows = case when excluded.job >= past_windows.job then excluded.rows else past_windows.rows end,
    ended_ms = greatest(excluded.ended_ms, past_windows.ended_ms);

-- name: windows_past
select p.job, p.number, p.task, p.window_start_ms, p.definition, p.rows, p.ended_ms
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (
    select job, number, task, window_start_ms, definition, rows, ended_ms from past_windows
    where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) p;

-- name: calls_jobs
-- The jobs that hold the calls of some workflows' items; keys are job, number and the generation from which on they count.
select j.parent_job, j.parent_number, j.id
from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint
    and j.epoch = (k ->> 2)::bigint;

-- name: calls_counts
-- How many calls of some workflows' items are in each status; keys as in calls_jobs.
select j.parent_job, j.parent_number, j.pending, j.started, j.retry, j.success, j.failure, j.revoked
from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint
    and j.epoch = (k ->> 2)::bigint;

-- name: calls_below
-- The jobs that hold the calls of some workflows' items, and those of the workflows among these calls, and so on.
with recursive below (id) as (
    select j.id from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint
    union
    select j.id from below b join jobs j on j.parent_job = b.id)
select id from below;

-- name: calls_unended
-- Which of some workflows' items have called something that has not ended, or whose own calls have not.
with recursive below (job, number, id, unended) as (
    select j.parent_job, j.parent_number, j.id, j.pending + j.started + j.retry > 0
    from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint
    union
    select b.job, b.number, j.id, j.pending + j.started + j.retry > 0 from below b join jobs j on j.parent_job = b.id)
select distinct job, number from below where unended;

-- name: calls_children
select j.id from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint;

-- name: items_of_jobs
select job, number from items where job = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) order by job, number;

-- name: calls_of_jobs
-- Which of these jobs hold the calls of a workflow.
select id from jobs where id = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) and parent_job is not null;

-- name: set_calls
insert into calls (job, place, number, digest, round)
select :job, v ->> 0, (v ->> 1)::bigint, v ->> 2, (v ->> 3)::bigint from jsonb_array_elements(:rows::jsonb) v where true
on conflict (job, place) do update set number = excluded.number, digest = excluded.digest, round = excluded.round;

-- name: calls_at
select place, number, digest, round from calls where job = :job and place = any (array(select jsonb_array_elements_text(:places::jsonb)));

-- name: read_calls
-- All calls of some workflows, with how they ended.
select c.place, i.job, i.number, t.name, c.digest, c.round, i.status, i.reason, i.failure_class, a.result, a.error_type,
    a.error_message, c.job
from calls c join items i on i.job = c.job and i.number = c.number join tasks t on t.id = i.task
left join attempts a on a.job = i.job and a.number = i.number and a.token = case when i.status = 'FAILURE'
    then (select max(token) from attempts where job = i.job and number = i.number) else i.token end
where c.job = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb)));

-- name: read_called
-- The same of single calls, with whose they are.
select c.place, i.job, i.number, t.name, c.digest, c.round, i.status, i.reason, i.failure_class, a.result, a.error_type,
    a.error_message, j.parent_job, j.parent_number
from jsonb_array_elements(:keys::jsonb) k join calls c on c.job = (k ->> 0)::bigint and c.number = (k ->> 1)::bigint
join items i on i.job = c.job and i.number = c.number join tasks t on t.id = i.task join jobs j on j.id = c.job
left join attempts a on a.job = i.job and a.number = i.number and a.token = case when i.status = 'FAILURE'
    then (select max(token) from attempts where job = i.job and number = i.number) else i.token end;

-- name: add_arrivals
-- Calls that have ended, for the workers that run the bodies which wait for them; where none does, the next one reads them all.
insert into arrivals (worker, job, number)
select p.worker, j.id, (k ->> 1)::bigint
from jsonb_array_elements(:keys::jsonb) k join jobs j on j.id = (k ->> 0)::bigint and j.parent_job is not null
join items p on p.job = j.parent_job and p.number = j.parent_number
where p.worker is not null
on conflict (worker, job, number) do nothing returning worker;

-- name: seal_calls
-- Of workflows that have ended: no call is added any more.
update jobs set sealed = 1, ended_ms = case when pending + started + retry = 0 then coalesce(ended_ms, :now) end
where id = any (array(select j.id from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint)) and sealed = 0;

-- name: reopen_calls
-- Of workflows that run again: their calls are wanted again.
update jobs set sealed = 0, ended_ms = null, cancel_ms = null
where id = any (array(select j.id from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint
    and j.epoch = (k ->> 2)::bigint));

-- name: flag_calls
-- Of workflows that somebody wants cancelled: claims honour the flag from this commit on.
update jobs set cancel_ms = :now, sealed = 1, ended_ms = case when pending + started + retry = 0 then coalesce(ended_ms, :now) end
where id = any (array(select j.id from jsonb_array_elements(:keys::jsonb) k join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint)) and cancel_ms is null and ended_ms is null
returning id;

-- name: prune_calls
delete from calls where (job, number) in (select (k ->> 0)::bigint, (k ->> 1)::bigint from jsonb_array_elements(:keys::jsonb) k);

-- name: prune_arrivals
delete from arrivals where worker = any (array(select value::bigint from jsonb_array_elements_text(:workers::jsonb)));

-- name: prune_attempts
-- Found by their places, one item after the other, whatever the statistics say of a table that is growing or shrinking.
delete from attempts where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from attempts where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_checkpoints
delete from checkpoints where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from checkpoints where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_logs
delete from logs where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from logs where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_progress
delete from progress where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from progress where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_successors
delete from successors where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from successors where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_events
delete from events where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from events where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_inputs
delete from inputs where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from inputs where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_items
delete from items where ctid = any (array(
    select t.ctid from jsonb_array_elements(:keys::jsonb) k cross join lateral (
        select ctid from items where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t));

-- name: prune_job_events
delete from events where job = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) and number is null;

-- name: prune_jobs
delete from jobs where id = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb)));

-- name: prune_worker_tasks
delete from worker_tasks where worker = any (array(select value::bigint from jsonb_array_elements_text(:workers::jsonb)));

-- name: prune_workers
delete from workers where id = any (array(select value::bigint from jsonb_array_elements_text(:workers::jsonb)));

-- name: prune_operations
-- What a transaction has done is asked for within half a minute, or never.
delete from operations where ctid = any (array(select ctid from operations where at_ms < :before order by at_ms limit :limit))
returning 1;

-- name: free_pages
-- The server keeps its files small by itself.
select 0, 0;

-- name: give_back_pages
select 1 where false;

-- name: first_ends
-- How the attempts of the first work items of some jobs ended.
select a.job, a.outcome, a.failure_class from attempts a where a.job = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) and a.number = 0 order by a.job, a.token;

-- name: recent_runs
-- The newest jobs of each task.
select j.task, j.id, j.created_ms, j.sealed, j.pending, j.started, j.retry, j.success, j.failure, j.revoked
from tasks t cross join lateral (
    select * from jobs where task = t.id and parent_job is null order by id desc limit :limit) j
where t.namespace = :namespace order by j.id;

-- name: failed_by_class
-- Of no more than so many: how many of a job's items failed, by class.
select failure_class, count(*)
from (select failure_class from items where job = :job and status = 'FAILURE' limit :limit) f
group by failure_class order by count(*) desc, failure_class;

-- name: find_bulks
-- Some operations as they are.
select id, name, action, mode, filter, accept_risk, forward, actor, source, reason, address, pipelines, state, error, matched,
    place, together, done, skipped, size, due_ms, created_ms, touched_ms, started_ms, ended_ms
from bulk_operations where id = any (array(select value::bigint from jsonb_array_elements_text(:ids::jsonb)));

-- name: job_ranges
-- The first and the last work item of some jobs: between them lie the others, in the order in which they were submitted.
select j.id, t.name, j.tz, n.key, n.window_start_ms, n.window_end_ms
from jobs j join tasks t on t.id = j.task cross join (select 0 as side union select 1) e
cross join lateral (select * from inputs where job = j.id
    and number = e.side * (j.pending + j.started + j.retry + j.success + j.failure + j.revoked - 1) offset 0) n
where j.id = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) order by j.id, n.number;

-- name: count_causes
-- Adds to the counts of causes. Rows without parts only take away: they change what is there. What is said of a cause stays as it
-- was said first; its class and the sample are the newest. In the order of the rows, in which everybody takes their locks.
insert into causes (task, cause, version, failure_class, error_type, title, parts, failures, failed_now, first_ms, last_ms,
    sample_job, sample_number, sample_token)
select (e ->> 0)::bigint, e ->> 1, (e ->> 2)::bigint, e ->> 3, e ->> 4, e ->> 5, e ->> 6, (e ->> 7)::bigint, (e ->> 8)::bigint,
    (e ->> 9)::bigint, (e ->> 10)::bigint, (e ->> 11)::bigint, (e ->> 12)::bigint, (e ->> 13)::bigint
from jsonb_array_elements(:rows::jsonb) with ordinality v (e, place)
-- Not `exists`, for which all causes may be gone through.
where e ->> 6 <> '' or (select 1 from causes where task = (e ->> 0)::bigint and cause = e ->> 1 limit 1) = 1
order by place
on conflict (task, cause) do update set failures = causes.failures + excluded.failures,
    failed_now = causes.failed_now + excluded.failed_now, last_ms = greatest(causes.last_ms, excluded.last_ms),
    failure_class = case when excluded.failures = 0 then causes.failure_class else excluded.failure_class end,
    sample_job = case when excluded.failures = 0 then causes.sample_job else excluded.sample_job end,
    sample_number = case when excluded.failures = 0 then causes.sample_number else excluded.sample_number end,
    sample_token = case when excluded.failures = 0 then causes.sample_token else excluded.sample_token end;

-- name: failed_by_cause
-- Of some items that are about to be removed: how many count as failed, of what. Each is looked up by itself, as in read_saved.
select i.task, i.cause, count(*)
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (
    select job, task, status, cause from items where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) i
cross join lateral (select parent_job from jobs where id = i.job offset 0) j
where i.status = 'FAILURE' and i.cause is not null and j.parent_job is null group by i.task, i.cause;

-- name: list_causes
-- Causes of a namespace, those seen first last. By when they were seen first, since that never changes while somebody pages.
select c.cause, min(c.first_ms) from causes c join tasks t on t.id = c.task
where t.namespace = :namespace and (cast(:name as text) is null or t.name = :name)
    and (cast(:tasks as text) is null or t.name in (select jsonb_array_elements_text(cast(:tasks as jsonb))))
    and (cast(:failure_class as text) is null or c.failure_class = :failure_class)
group by c.cause
having (cast(:since as bigint) is null or max(c.last_ms) >= :since)
    and (cast(:first as bigint) is null or (min(c.first_ms), c.cause collate "C") < (cast(:first as bigint), cast(:cause as text) collate "C"))
order by min(c.first_ms) desc, c.cause collate "C" desc limit :limit;

-- name: read_causes
select c.cause, t.name, c.version, c.failure_class, c.error_type, c.title, c.parts, c.failures, c.failed_now, c.first_ms, c.last_ms,
    c.sample_job, c.sample_number, c.sample_token
from causes c join tasks t on t.id = c.task
where c.cause = any (array(select jsonb_array_elements_text(:causes::jsonb))) and t.namespace = :namespace
    and (cast(:name as text) is null or t.name = :name)
    and (cast(:tasks as text) is null or t.name in (select jsonb_array_elements_text(cast(:tasks as jsonb))))
order by c.last_ms desc, c.task;

-- name: prune_causes
delete from causes where ctid = any (array(
    select ctid from causes where last_ms < :before and failed_now <= 0 limit :limit for update skip locked))
returning 1;

-- name: begin_folding
-- One process sums up at a time, until its transaction ends; nothing returned means that another one is at it.
select 1 where pg_try_advisory_xact_lock(hashtext('mulligan trends'), hashtext(current_schema()));

-- name: add_tallies
insert into tallies (task, day, measure, kind, detail, value)
select (e ->> 0)::bigint, (e ->> 1)::bigint, e ->> 2, e ->> 3, e ->> 4, (e ->> 5)::bigint
from jsonb_array_elements(:rows::jsonb) e;

-- name: add_to_trends
insert into trends (task, day, measure, kind, detail, value)
select (e ->> 0)::bigint, (e ->> 1)::bigint, e ->> 2, e ->> 3, e ->> 4, (e ->> 5)::bigint
from jsonb_array_elements(:rows::jsonb) e
on conflict (task, day, measure, kind, detail) do update set value = trends.value + excluded.value;

-- name: add_to_totals
insert into totals (task, measure, kind, detail, value)
select (e ->> 0)::bigint, e ->> 1, e ->> 2, e ->> 3, (e ->> 4)::bigint from jsonb_array_elements(:rows::jsonb) e
on conflict (task, measure, kind, detail) do update set value = totals.value + excluded.value;

-- name: read_trends
-- What was counted of some tasks on the days from `first` to `end`, without that one, be it summed up yet or not.
select task, day, measure, kind, detail, sum(value)::bigint from (
    select task, day, measure, kind, detail, value from trends
    where task = any (array(select value::bigint from jsonb_array_elements_text(:tasks::jsonb))) and day >= :first and day < :end
    union all
    select task, day, measure, kind, detail, value from tallies
    where task = any (array(select value::bigint from jsonb_array_elements_text(:tasks::jsonb))) and day >= :first and day < :end) t
group by task, day, measure, kind, detail;

-- name: read_totals
select task, measure, kind, detail, sum(value)::bigint from (
    select task, measure, kind, detail, value from totals
    where task = any (array(select value::bigint from jsonb_array_elements_text(:tasks::jsonb)))
    union all
    select task, measure, kind, detail, value from tallies
    where task = any (array(select value::bigint from jsonb_array_elements_text(:tasks::jsonb)))) t
group by task, measure, kind, detail;

-- name: any_broken_window
-- Names of windows begin with a letter, those of single items with a digit.
select 1 from outages
where task = any (array(select value::bigint from jsonb_array_elements_text(:tasks::jsonb))) and subject >= 'w' limit 1;

-- name: in_broken_windows
-- Which of some items are for a window that has failed and not succeeded since.
select n.job, n.number from jsonb_array_elements(:keys::jsonb) k
cross join lateral (
    select job, number, task, window_start_ms, window_end_ms from inputs
    where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) n
join outages o on o.task = n.task and o.subject = 'w' || n.window_start_ms || '/' || n.window_end_ms;

-- name: subjects
-- Under which name items may be in `outages`.
select n.job, n.number, n.task,
    case when n.window_start_ms is null then n.job || '-' || n.number else 'w' || n.window_start_ms || '/' || n.window_end_ms end
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (select * from inputs where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) n;

-- name: first_failures
-- When an attempt failed first; rows are job, number and generation. Each is looked up by itself, as in read_saved.
select (e ->> 0)::bigint, (e ->> 1)::bigint, f.first_ms
from jsonb_array_elements(:rows::jsonb) e
cross join lateral (
    select min(ended_ms) as first_ms from (
        select ended_ms from attempts where job = (e ->> 0)::bigint and number = (e ->> 1)::bigint
            and generation = (e ->> 2)::bigint and failure_class is not null offset 0) a) f;

-- name: open_outages
-- Of what is broken already the first failure counts. In order, so that two who add the same windows do not wait in a ring.
insert into outages (task, subject, since_ms)
select (e ->> 0)::bigint, e ->> 1, (e ->> 2)::bigint from jsonb_array_elements(:rows::jsonb) e order by 1, 2
on conflict (task, subject) do nothing;

-- name: close_outages
-- Locked in order, as above. What another transaction has closed meanwhile is not returned: it counts there.
with found as materialized (
    select o.task, o.subject
    from (select (e ->> 0)::bigint as task, e ->> 1 as subject from jsonb_array_elements(:rows::jsonb) e order by 1, 2) e
    cross join lateral (select task, subject from outages where task = e.task and subject = e.subject for update) o)
delete from outages o using found f
where o.task = any (array[f.task]) and o.subject between f.subject and f.subject
returning o.task, o.subject, o.since_ms;

-- name: prune_outages
-- Of single items, which are gone by then; that a window is broken stays known until it succeeds.
delete from outages where (task, subject) in (
    select i.task, i.job || '-' || i.number from jsonb_array_elements(:keys::jsonb) k
    cross join lateral (
        select task, job, number from items where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) i);

-- name: lock_bulk
-- One process at a time does a page of an operation; the others leave it alone.
select 1 from bulk_operations where id = :id for no key update skip locked;

-- name: add_bulk_items
-- What is there already has been matched before.
insert into bulk_items (operation, position, job, number, generation)
select :id, (e ->> 0)::bigint, (e ->> 1)::bigint, (e ->> 2)::bigint, (e ->> 3)::bigint from jsonb_array_elements(:rows::jsonb) e
on conflict do nothing returning 1;

-- name: among_bulk
select b.job, b.number from jsonb_array_elements(:keys::jsonb) k
cross join lateral (select job, number from bulk_items
    where operation = :id and job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) b;

-- name: drop_bulk_items
delete from bulk_items where ctid = any (array(select ctid from bulk_items where operation = :id order by position limit :limit))
returning 1;

-- name: count_saved
-- How much is kept for a recover of some items: results of steps and cursors of those generations that count.
select c.kind, count(*) from jsonb_array_elements(:keys::jsonb) k
cross join lateral (select kind from checkpoints
    where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint and generation >= (k ->> 2)::bigint offset 0) c
group by c.kind;

-- name: count_kept_calls
-- Calls that succeeded, of workflows as they were called since they were begun or restarted last.
select coalesce(sum(j.success), 0)::bigint from jsonb_array_elements(:keys::jsonb) k
join jobs j on j.parent_job = (k ->> 0)::bigint and j.parent_number = (k ->> 1)::bigint and j.epoch = (k ->> 2)::bigint;

-- name: job_origins
-- Jobs with the job at the top of all that called each other, by whose names their traces are known.
with recursive up (job, at) as (
    select value::bigint, value::bigint from jsonb_array_elements_text(:jobs::jsonb)
    union all
    select u.job, j.parent_job from up u cross join lateral (select parent_job from jobs where id = u.at offset 0) j
    where j.parent_job is not null)
select j.id, j.parent_job, j.parent_number, r.id, t.namespace, t.name, r.run_id, r.created_ms, r.traceparent
from up u cross join lateral (select * from jobs where id = u.at offset 0) r
join tasks t on t.id = r.task
cross join lateral (select * from jobs where id = u.job offset 0) j
where r.parent_job is null;

-- name: attempts_of
-- What became of the attempts of some items, oldest first. Each is looked up by itself, as in read_saved.
select a.job, a.number, a.token, a.generation, a.attempt, a.reason, a.failure_class, a.claimed_ms, a.ended_ms, a.delay_ms
from jsonb_array_elements(:keys::jsonb) k
cross join lateral (select * from attempts where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) a
order by a.job, a.number, a.token;

-- name: keys_of
select n.job, n.number, n.key
from jsonb_array_elements(:keys::jsonb) k
join inputs n on n.job = any (array[(k ->> 0)::bigint]) and n.number between (k ->> 1)::bigint and (k ->> 1)::bigint;

-- name: ends_of
-- When some jobs have ended, and when somebody acted on the whole of them, in order.
select job, kind, at_ms from events
where job = any (array(select value::bigint from jsonb_array_elements_text(:jobs::jsonb))) and number is null
    and kind in ('job_ended', 'acted')
order by job, id;
