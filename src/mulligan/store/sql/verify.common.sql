-- name: I2_open_attempt
-- a running item has no worker that lives or was lost with its items still to be taken back
select i.job, i.number from items i left join workers w on w.id = i.worker
where i.status = 'STARTED' and (w.id is null or w.closed_ms is not null);

-- name: I2_open_attempt_ended
-- a running item's open attempt has ended already
select i.job, i.number from items i join attempts a on a.job = i.job and a.number = i.number and a.token = i.token
where i.status = 'STARTED';

-- name: I3_token
-- an attempt has a token that its item never reached
select a.job, a.number, a.token from attempts a join items i on i.job = a.job and i.number = a.number
where a.token > i.token;

-- name: I5_numbers
-- attempts of a generation are not numbered 1 to n without a gap
select job, number, generation from attempts group by job, number, generation
having count(*) <> max(attempt) or min(attempt) <> 1;

-- name: I5_generations
-- an attempt belongs to a generation that its item never had
select a.job, a.number, a.generation from attempts a join items i on i.job = a.job and i.number = a.number
where a.generation > i.generation;

-- name: I7_at_most_once
-- an item without retries ran more than once in a generation
select a.job, a.number, a.generation from attempts a
join items i on i.job = a.job and i.number = a.number and i.generation = a.generation
where i.once = 1 and a.outcome <> 'SNOOZED' group by a.job, a.number, a.generation having count(*) > 1;

-- name: I8_terminal
-- an ended item's status is not the outcome of its last attempt
select i.job, i.number from items i join attempts a on a.job = i.job and a.number = i.number and a.token = i.token
where (i.status = 'SUCCESS') <> (a.outcome = 'SUCCEEDED') and i.status in ('SUCCESS', 'FAILURE')
    and a.generation = i.generation;

-- name: I8_success_without_attempt
-- a successful item has no attempt that succeeded
select i.job, i.number from items i
left join attempts a on a.job = i.job and a.number = i.number and a.token = i.token and a.outcome = 'SUCCEEDED'
where i.status = 'SUCCESS' and a.job is null;

-- name: I10_checkpoints
-- a checkpoint was saved by an attempt or a generation that there was not
select c.job, c.number, c.kind from checkpoints c left join items i on i.job = c.job and i.number = c.number
where i.job is null or c.token > i.token or c.generation > i.generation;

-- name: I12_ended
-- a job has ended although items have not, or has not although all have
select id from jobs where (ended_ms is not null) <> (sealed = 1 and pending + started + retry = 0);

-- name: I13_cancelled
-- an item of a job whose cancellation is through still waits
select i.job, i.number from items i join jobs j on j.id = i.job
where j.cancel_ms is not null and j.ended_ms is not null and i.status in ('PENDING', 'STARTED', 'RETRY');

-- name: I14_due
-- a waiting item may start after its deadline
select job, number from items
where status in ('PENDING', 'RETRY') and wait not in ('submitting', 'predecessor') and cutoff_ms is not null
    and due_ms >= cutoff_ms and due_ms > created_ms and reason = 'will_retry';

-- name: I16_cutoff
-- an attempt was claimed after the end of its generation's time
select i.job, i.number from items i
where i.status = 'STARTED' and i.cutoff_ms is not null and i.claimed_ms >= i.cutoff_ms
    -- Where a clock was set back it was not: it is only said to have begun when the one before it ended, by the clock of then.
    and not exists (select 1 from attempts a where a.job = i.job and a.number = i.number and a.ended_ms = i.claimed_ms);

-- name: I17_inputs
-- an item has no input, or an input no item
select i.job, i.number from items i left join inputs n on n.job = i.job and n.number = i.number where n.job is null
union all
select n.job, n.number from inputs n left join items i on i.job = n.job and i.number = n.number where i.job is null;

-- name: I20_audit
-- a generation was begun that no line of the audit accounts for
select i.job, i.number from items i
where i.generation > 1 and not exists (
    select 1 from audit a where a.action in ('recover', 'restart', 'overwrite') and a.changed > 0)
    -- A call is run again with its workflow, which its policy may retry by itself.
    and not exists (select 1 from jobs j where j.id = i.job and j.parent_job is not null);

-- name: I24_order
-- an item waits for one before it that is not in flight
select i.job, i.number from items i where i.wait = 'predecessor' and not exists (
    select 1 from successors s join items p on p.job = s.job and p.number = s.number
    where s.next_job = i.job and s.next_number = i.number and p.status in ('PENDING', 'STARTED', 'RETRY'));

-- name: I24_succeeded
-- an item that has succeeded still stands in an order
select i.job, i.number from items i join (
    select job, number from successors union select next_job, next_number from successors) s
    on s.job = i.job and s.number = i.number
where i.status = 'SUCCESS';

-- name: I25_calls
-- what a workflow has called at a place is not there
select c.job, c.number from calls c left join items i on i.job = c.job and i.number = c.number where i.job is null
union all
select i.job, i.number from items i join jobs j on j.id = i.job join jobs p on p.id = j.parent_job
left join items w on w.job = j.parent_job and w.number = j.parent_number
where p.pruned_ms is null and w.job is null;

-- name: I25_running
-- a workflow has succeeded although a call of it has not ended
select w.job, w.number from items w
join jobs j on j.parent_job = w.job and j.parent_number = w.number and j.epoch = w.keep_from
where w.status = 'SUCCESS' and j.pending + j.started + j.retry > 0;

-- name: I25_sealed
-- a workflow that has ended may still make calls, or one that has not may make none
select w.job, w.number from items w
join jobs j on j.parent_job = w.job and j.parent_number = w.number and j.epoch = w.keep_from
where (j.sealed = 1) <> (w.status in ('SUCCESS', 'FAILURE', 'REVOKED') or w.cancel_ms is not null);

-- name: I26_failed_now
-- a cause does not count the items that have failed of it
select coalesce(c.task, f.task), coalesce(c.cause, f.cause) from causes c full join (
    select i.task, i.cause, count(*) as failed from items i join jobs j on j.id = i.job
    where i.status = 'FAILURE' and i.cause is not null and j.parent_job is null group by i.task, i.cause) f
    on f.task = c.task and f.cause = c.cause
where coalesce(c.failed_now, 0) <> coalesce(f.failed, 0);

-- name: I26_cause
-- a failed item has no cause, or an item that has not failed has one
select job, number from items
where (cause is null) <> (failure_class is null) or (status = 'FAILURE' and cause is null);

-- name: I22_orphans
-- a row belongs to an item or a job that is not there
select 'attempt', a.job, a.number from attempts a left join items i on i.job = a.job and i.number = a.number
where i.job is null
union all
select 'item', i.job, i.number from items i left join jobs j on j.id = i.job where j.id is null
union all
select 'log', l.job, l.number from logs l left join items i on i.job = l.job and i.number = l.number where i.job is null
union all
select 'progress', p.job, p.number from progress p left join items i on i.job = p.job and i.number = p.number where i.job is null
union all
select 'event', e.job, e.number from events e left join items i on i.job = e.job and i.number = e.number
where e.job is not null and e.number is not null and i.job is null
union all
select 'event', e.job, e.number from events e left join jobs j on j.id = e.job where j.id is null and e.job is not null;

-- name: I22_removed
-- a job has details left that were removed
select i.job, i.number from items i join jobs j on j.id = i.job
where j.pruned_ms is not null and (j.pruned_to is null or i.number < j.pruned_to);
