create table meta (
    key text primary key,
    value text not null
);

-- What a transaction has done, by an id its writer chose: so a commit whose answer was lost is read back and not repeated.
create table operations (
    id uuid primary key,
    at_ms bigint not null
);
create index operations_age on operations (at_ms);

create table tasks (
    id bigint generated always as identity primary key,
    namespace text not null,
    name text not null,
    module text not null,
    definition bigint,
    paused_ms bigint,
    unique (namespace, name)
);

create table definitions (
    id bigint generated always as identity primary key,
    task bigint not null references tasks (id),
    digest text not null,
    body text not null,
    published_ms bigint not null,
    unique (task, digest)
);
alter table tasks add foreign key (definition) references definitions (id) deferrable initially deferred;

create table workers (
    id bigint generated always as identity primary key,
    instance text not null unique,
    name text not null,
    pid bigint not null,
    lock text not null,
    lease_ms bigint not null check (lease_ms > 0),
    beat bigint not null default 0,
    started_ms bigint not null,
    seen_ms bigint not null,
    stopped_ms bigint,
    lost_ms bigint,
    closed_ms bigint,
    refused bigint not null default 0
) with (fillfactor = 50);
create index workers_open on workers (id) where closed_ms is null;
create index workers_closed on workers (closed_ms) where closed_ms is not null;

create table worker_tasks (
    worker bigint not null references workers (id),
    task bigint not null references tasks (id),
    definition bigint not null references definitions (id),
    primary key (worker, task)
);

create table jobs (
    id bigint generated always as identity primary key,
    task bigint not null references tasks (id),
    run_id text not null,
    named smallint not null check (named in (0, 1)),
    kind text not null check (kind in ('submit', 'map', 'backfill', 'calls')),
    input_digest text not null,
    tz text not null,
    labels text not null,
    sealed smallint not null check (sealed in (0, 1)),
    total_ms bigint check (total_ms >= 0),
    cancel_ms bigint,
    release_ms bigint,
    created_ms bigint not null,
    touched_ms bigint not null,
    ended_ms bigint,
    pruned_ms bigint,
    pruned_to bigint,
    -- Of a job that holds the calls of a workflow: the work item whose they are, and from which generation on they count.
    parent_job bigint,
    parent_number bigint,
    epoch bigint,
    traceparent text,
    pending bigint not null default 0 check (pending >= 0),
    started bigint not null default 0 check (started >= 0),
    retry bigint not null default 0 check (retry >= 0),
    success bigint not null default 0 check (success >= 0),
    failure bigint not null default 0 check (failure >= 0),
    revoked bigint not null default 0 check (revoked >= 0),
    check ((kind = 'calls') = (parent_job is not null)),
    check ((parent_job is null) = (parent_number is null) and (parent_job is null) = (epoch is null)),
    check (ended_ms is null or (sealed = 1 and pending + started + retry = 0)),
    check (pruned_ms is null or ended_ms is not null),
    check (pruned_to is null or pruned_ms is not null)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
create unique index jobs_run on jobs (task, run_id) where parent_job is null;
create unique index jobs_calls on jobs (parent_job, parent_number, epoch) where parent_job is not null;
create index jobs_cancelling on jobs (id) where cancel_ms is not null and ended_ms is null;
create index jobs_unsealed on jobs (id) where sealed = 0;
create index jobs_releasing on jobs (id) where release_ms is not null;
create index jobs_past on jobs (ended_ms, id) where ended_ms is not null and pruned_ms is null;
create index jobs_unended on jobs (created_ms) where ended_ms is null and parent_job is null;
create index jobs_of_task on jobs (task, id) where parent_job is null;
create index jobs_pruning on jobs (id) where pruned_to is not null;

-- The hot table: narrow, with what is only read when an item runs or is looked at kept apart in inputs and attempts. Its dead
-- rows are cleared away early, since a claim has to step over them.
create table items (
    job bigint not null,
    number bigint not null check (number >= 0),
    task bigint not null,
    definition bigint not null,
    once smallint not null check (once in (0, 1)),
    priority smallint not null check (priority between 1 and 5),
    status text not null,
    due_ms bigint not null,
    wait text check (wait in ('ready', 'backoff', 'schedule', 'snooze', 'submitting', 'predecessor')),
    generation bigint not null check (generation >= 1),
    attempt bigint not null check (attempt >= 0),
    token bigint not null check (token >= attempt),
    version bigint not null,
    worker bigint,
    claimed_ms bigint,
    cancel_ms bigint,
    deadline_ms bigint,
    cutoff_ms bigint,
    charges text not null,
    crashes bigint not null check (crashes >= 0),
    snoozes bigint not null check (snoozes >= 0),
    keep_from bigint not null check (keep_from between 1 and generation),
    reason text not null,
    failure_class text,
    created_ms bigint not null,
    ended_ms bigint,
    cause text,
    primary key (job, number),
    check (case status
        when 'STARTED' then worker is not null and claimed_ms is not null and wait is null and ended_ms is null
        when 'SUCCESS' then worker is null and claimed_ms is null and wait is null and ended_ms is not null
        when 'PENDING' then worker is null and claimed_ms is null and wait is not null and ended_ms is null and cancel_ms is null
        when 'RETRY' then worker is null and claimed_ms is null and wait is not null and ended_ms is null and cancel_ms is null
        when 'FAILURE' then worker is null and claimed_ms is null and wait is null and ended_ms is not null
        when 'REVOKED' then worker is null and claimed_ms is null and wait is null and ended_ms is not null
        else false end)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05);
create index items_ready on items (task, once, priority, due_ms, job, number) where status in ('PENDING', 'RETRY');
create index items_held on items (worker, job, number) where worker is not null;
create index items_deadline on items (deadline_ms) where deadline_ms is not null and status in ('PENDING', 'RETRY');
create index items_status on items (job, status, number) where status in ('RETRY', 'FAILURE', 'REVOKED');

create index items_cause on items (cause, job, number) where cause is not null;

create table inputs (
    job bigint not null,
    number bigint not null,
    task bigint not null,
    key text not null,
    arguments text not null,
    window_start_ms bigint,
    window_end_ms bigint,
    primary key (job, number),
    unique (job, key),
    check ((window_start_ms is null) = (window_end_ms is null)),
    check (window_start_ms < window_end_ms)
);
create index inputs_window on inputs (task, window_start_ms, window_end_ms) where window_start_ms is not null;

-- What is kept of windows that succeeded when the details of their jobs are removed: that they are done, and what it would mean to
-- run them again.
create table past_windows (
    task bigint not null,
    window_start_ms bigint not null,
    window_end_ms bigint not null,
    job bigint not null,
    number bigint not null,
    key text not null,
    definition bigint not null,
    rows bigint,
    ended_ms bigint not null,
    primary key (task, window_start_ms, window_end_ms),
    unique (job, number),
    check (window_start_ms < window_end_ms)
);

create table attempts (
    job bigint not null,
    number bigint not null,
    token bigint not null,
    generation bigint not null,
    attempt bigint not null check (attempt >= 1),
    worker bigint not null,
    outcome text not null
        check (outcome in ('SUCCEEDED', 'FAILED', 'TIMED_OUT', 'LOST', 'INTERRUPTED', 'SNOOZED', 'CANCELLED')),
    reason text not null,
    claimed_ms bigint not null,
    started_ms bigint,
    ended_ms bigint not null check (ended_ms >= claimed_ms),
    failure_class text,
    rule text,
    error_type text,
    error_message text,
    failure text,
    entry bigint,
    charged bigint,
    delay_ms bigint check (delay_ms >= 0),
    planned_ms bigint,
    retry_after_ms bigint,
    rows bigint check (rows >= 0),
    result text,
    exit_code bigint,
    signal bigint,
    pid bigint,
    cause text,
    primary key (job, number, token)
);
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;
create trigger attempts_never_change before update on attempts for each row execute function refuse_change();

-- What failed, counted by its cause for each task; outlives the jobs that it counts. `parts` is JSON: what the fingerprint is made of.
create table causes (
    task bigint not null,
    cause text not null,
    version bigint not null,
    failure_class text not null,
    error_type text not null,
    title text not null,
    parts text not null,
    failures bigint not null,
    failed_now bigint not null,
    first_ms bigint not null,
    last_ms bigint not null,
    sample_job bigint not null,
    sample_number bigint not null,
    sample_token bigint not null,
    primary key (task, cause)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

create table checkpoints (
    job bigint not null,
    number bigint not null,
    kind text not null check (kind in ('step', 'cursor')),
    key text not null,
    generation bigint not null,
    value text not null,
    token bigint not null,
    definition bigint not null,
    at_ms bigint not null,
    primary key (job, number, kind, key, generation)
);

create table logs (
    job bigint not null,
    number bigint not null,
    token bigint not null,
    part bigint not null,
    at_ms bigint not null,
    text text not null,
    primary key (job, number, token, part)
);

create table progress (
    job bigint not null,
    number bigint not null,
    token bigint not null,
    done double precision not null,
    total double precision not null,
    at_ms bigint not null,
    primary key (job, number)
) with (fillfactor = 50);

-- The calls of a workflow by where its body made them; what was called there last counts.
create table calls (
    job bigint not null,
    place text not null,
    number bigint not null,
    digest text not null,
    round bigint not null,
    primary key (job, place)
);
create unique index calls_number on calls (job, number);

-- Calls that have ended, for the worker that runs the body which waits for them.
create table arrivals (
    worker bigint not null,
    job bigint not null,
    number bigint not null,
    primary key (worker, job, number)
);

create table successors (
    job bigint not null,
    number bigint not null,
    next_job bigint not null,
    next_number bigint not null,
    primary key (job, number),
    unique (next_job, next_number)
);

-- Ids become visible out of order here; `xid` is the transaction a row came with, and readers stop below the oldest running one.
create table events (
    id bigint generated always as identity primary key,
    xid xid8 not null default pg_current_xact_id(),
    at_ms bigint not null,
    kind text not null,
    job bigint,
    number bigint,
    generation bigint,
    reason text
);
create index events_of_item on events (job, number);
create index events_in_order on events (xid, id);

create table audit (
    id bigint generated always as identity primary key,
    at_ms bigint not null,
    actor text not null,
    source text not null,
    action text not null,
    target text not null,
    reason text not null,
    expected text not null,
    found text not null,
    changed bigint not null,
    address text not null,
    operation text
);
create index audit_operation on audit (operation) where operation is not null;
create trigger audit_never_changes before update or delete on audit for each row execute function refuse_change();
create trigger audit_is_kept before truncate on audit for each statement execute function refuse_change();

-- Jobs that somebody submits in chunks, until they are sealed: what all of their work items share.
create table uploads (
    job bigint primary key,
    definition bigint not null references definitions (id),
    priority smallint not null,
    due_ms bigint not null,
    deadline_ms bigint,
    cutoff_ms bigint,
    arguments text not null
);

-- Keys of the API; of the key itself only a digest. `pipelines` is JSON: the names of the tasks that it is for, null for all.
create table access_keys (
    id text primary key,
    name text not null,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    digest text not null,
    pipelines text,
    created_ms bigint not null,
    expires_ms bigint,
    revoked_ms bigint
);
create unique index access_keys_name on access_keys (name) where revoked_ms is null;

-- People who are logged in by a browser: of the cookie only a digest, and whose key it was made with. A key of one process alone
-- (`mulligan dev`) is in no table.
create table login_sessions (
    digest text primary key,
    key text not null,
    created_ms bigint not null,
    seen_ms bigint not null
);
create index login_sessions_age on login_sessions (created_ms);

-- What the API has answered to a request that had a key of its own (Idempotency-Key), for when it is sent again; no status: it is
-- being answered.
create table replies (
    owner text not null,
    key text not null,
    digest text not null,
    at_ms bigint not null,
    status integer,
    body text,
    primary key (owner, key)
);
create index replies_age on replies (at_ms);

-- What was counted, as it was written by those who settle work: whoever ends an attempt adds a line and waits for nobody. A chore
-- sums the lines up by day in `trends`, and since ever in `totals`.
create table tallies (
    id bigint generated always as identity primary key,
    task bigint not null,
    day bigint not null,
    measure text not null,
    kind text not null,
    detail text not null,
    value bigint not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- What was counted of a task on a day (days since 1970, UTC); outlives the details of the jobs.
create table trends (
    task bigint not null,
    day bigint not null,
    measure text not null,
    kind text not null,
    detail text not null,
    value bigint not null,
    primary key (task, day, measure, kind, detail)
) with (fillfactor = 50);

create table totals (
    task bigint not null,
    measure text not null,
    kind text not null,
    detail text not null,
    value bigint not null,
    primary key (task, measure, kind, detail)
) with (fillfactor = 50);

-- What has failed and not succeeded since, and since when: a window of a task, whichever job it is in, or a single work item.
create table outages (
    task bigint not null,
    subject text not null,
    since_ms bigint not null,
    primary key (task, subject)
);

-- What was asked for of all work items that matched a filter: which they are is fixed in bulk_items before anything is done. `place`
-- is how far it has come in them; what is done to items is committed together with it. `size` is that of the next page, due at due_ms.
create table bulk_operations (
    id bigint generated always as identity primary key,
    name text not null,
    action text not null check (action in ('retry', 'retry-now', 'cancel', 'overwrite')),
    mode text check (mode in ('recover', 'restart')),
    filter text not null,
    accept_risk smallint not null check (accept_risk in (0, 1)),
    forward smallint not null check (forward in (0, 1)),
    actor text not null,
    source text not null,
    reason text not null,
    address text not null,
    request text unique,
    pipelines text,
    state text not null check (state in ('COLLECTING', 'RUNNING', 'DONE', 'ABORTED', 'FAILED')),
    error text,
    matched bigint not null check (matched >= 0),
    place bigint not null check (place >= 0),
    together bigint not null check (together >= 0),
    done bigint not null check (done >= 0),
    skipped text not null,
    size bigint not null check (size > 0),
    due_ms bigint not null,
    created_ms bigint not null,
    touched_ms bigint not null,
    started_ms bigint,
    ended_ms bigint,
    check ((mode is not null) = (action = 'retry')),
    check ((ended_ms is null) = (state in ('COLLECTING', 'RUNNING'))),
    check ((error is not null) = (state = 'FAILED')),
    check (done <= matched)
);
create index bulk_operations_due on bulk_operations (due_ms, id) where state = 'RUNNING';
create index bulk_operations_collecting on bulk_operations (touched_ms) where state = 'COLLECTING';
create index bulk_operations_past on bulk_operations (ended_ms) where ended_ms is not null;

create table bulk_items (
    operation bigint not null,
    position bigint not null check (position >= 0),
    job bigint not null,
    number bigint not null,
    generation bigint not null,
    primary key (operation, position),
    unique (operation, job, number)
);
