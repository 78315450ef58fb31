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

-- name: I5_last_number
-- an item's attempt number is not that of its attempts
select i.job, i.number from items i
left join (select job, number, generation, max(attempt) as last from attempts group by job, number, generation) a
    on a.job = i.job and a.number = i.number and a.generation = i.generation
where i.attempt <> coalesce(a.last, 0) + (i.status = 'STARTED');

-- name: I5_generations
-- an attempt belongs to a generation that its item never had
select a.job, a.number, a.generation from attempts a join items i on i.job = a.job and i.number = a.number
where a.generation > i.generation;

-- name: I5_overlap
-- two attempts of an item overlap
select job, number, token from (
    select job, number, token, claimed_ms, lag(ended_ms) over (partition by job, number order by token) as before from attempts)
where claimed_ms < before;

-- name: I6_charges
-- an item's charges are not those of its attempts
select i.job, i.number from items i
where exists (
    select 1 from json_each(i.charges) c
    where c.value <> (select count(*) from attempts a where a.job = i.job and a.number = i.number
                      and a.generation = i.generation and a.entry = c.key))
or exists (
    select 1 from attempts a where a.job = i.job and a.number = i.number and a.generation = i.generation
    and a.entry is not null and a.entry >= json_array_length(i.charges));

-- name: I6_budget
-- an entry of a policy was charged more often than it allows
select a.job, a.number, a.token from attempts a
join items i on i.job = a.job and i.number = a.number and i.generation = a.generation
join definitions d on d.id = i.definition
where a.entry is not null and a.charged > json_extract(d.body, '$.policy[' || a.entry || '].max_attempts');

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

-- name: I12_counters
-- a job's counters are not those of its items
select j.id from jobs j left join (
    select job, sum(status = 'PENDING') as pending, sum(status = 'STARTED') as started, sum(status = 'RETRY') as retry,
        sum(status = 'SUCCESS') as success, sum(status = 'FAILURE') as failure, sum(status = 'REVOKED') as revoked
    from items group by job) i on i.job = j.id
where (j.pending, j.started, j.retry, j.success, j.failure, j.revoked) <>
    (coalesce(i.pending, 0), coalesce(i.started, 0), coalesce(i.retry, 0), coalesce(i.success, 0), coalesce(i.failure, 0),
     coalesce(i.revoked, 0));

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

-- name: I16_delay
-- a retry waits shorter or longer than its policy's wait, jitter and Retry-After allow
select a.job, a.number, a.token from attempts a
where a.delay_ms is not null and a.planned_ms is not null and
    (a.delay_ms < 0 or a.delay_ms > max(2 * a.planned_ms + 1, coalesce(a.retry_after_ms, 0)));

-- name: I16_cutoff
-- an attempt was claimed after the end of its generation's time
select i.job, i.number from items i
where i.status = 'STARTED' and i.cutoff_ms is not null and i.claimed_ms >= i.cutoff_ms;

-- name: I17_inputs
-- an item has no input, or an input no item
select i.job, i.number from items i left join inputs n on n.job = i.job and n.number = i.number where n.job is null
union all
select n.job, n.number from inputs n left join items i on i.job = n.job and i.number = n.number where i.job is null;

-- name: I20_audit
-- a generation was begun that no line of the audit accounts for
select i.job, i.number from items i
where i.generation > 1 and not exists (
    select 1 from audit a where a.action in ('recover', 'restart', 'overwrite') and a.changed > 0);

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

-- name: I22_orphans
-- a row belongs to an item or a job that is not there
select 'attempt', a.job, a.number from attempts a left join items i on i.job = a.job and i.number = a.number
where i.job is null
union all
select 'item', i.job, i.number from items i left join jobs j on j.id = i.job where j.id is null
union all
select 'log', l.job, l.number from logs l left join items i on i.job = l.job and i.number = l.number where i.job is null;
