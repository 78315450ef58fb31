-- name: I5_last_number
-- an item's attempt number is not that of its attempts
select i.job, i.number from items i
left join (select job, number, generation, max(attempt) as last from attempts group by job, number, generation) a
    on a.job = i.job and a.number = i.number and a.generation = i.generation
where i.attempt <> coalesce(a.last, 0) + (i.status = 'STARTED')::int;

-- name: I5_overlap
-- two attempts of an item overlap
select job, number, token from (
    select job, number, token, claimed_ms, lag(ended_ms) over (partition by job, number order by token) as previous from attempts) a
where claimed_ms < previous;

-- name: I6_charges
-- an item's charges are not those of its attempts
select i.job, i.number from items i
where exists (
    select 1 from jsonb_array_elements_text(i.charges::jsonb) with ordinality c (value, place)
    where c.value::bigint <> (select count(*) from attempts a where a.job = i.job and a.number = i.number
                              and a.generation = i.generation and a.entry = c.place - 1))
or exists (
    select 1 from attempts a where a.job = i.job and a.number = i.number and a.generation = i.generation
    and a.entry is not null and a.entry >= jsonb_array_length(i.charges::jsonb));

-- name: I6_budget
-- an entry of a policy was charged more often than it allows
select a.job, a.number, a.token from attempts a
join items i on i.job = a.job and i.number = a.number and i.generation = a.generation
join definitions d on d.id = i.definition
where a.entry is not null and a.charged > (d.body::jsonb -> 'policy' -> a.entry::int ->> 'max_attempts')::bigint;

-- name: I12_counters
-- a job's counters are not those of its items
select j.id from jobs j left join (
    select job, count(*) filter (where status = 'PENDING') as pending, count(*) filter (where status = 'STARTED') as started,
        count(*) filter (where status = 'RETRY') as retry, count(*) filter (where status = 'SUCCESS') as success,
        count(*) filter (where status = 'FAILURE') as failure, count(*) filter (where status = 'REVOKED') as revoked
    from items group by job) i on i.job = j.id
where j.pruned_ms is null and (j.pending, j.started, j.retry, j.success, j.failure, j.revoked) <>
    (coalesce(i.pending, 0), coalesce(i.started, 0), coalesce(i.retry, 0), coalesce(i.success, 0), coalesce(i.failure, 0),
     coalesce(i.revoked, 0));

-- name: I16_delay
-- a retry waits shorter or longer than its policy's wait, jitter and Retry-After allow
select a.job, a.number, a.token from attempts a
where a.delay_ms is not null and a.planned_ms is not null and
    (a.delay_ms < 0 or a.delay_ms > greatest(2 * a.planned_ms + 1, coalesce(a.retry_after_ms, 0)));
