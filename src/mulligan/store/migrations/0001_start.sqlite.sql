create table meta (
    key text primary key,
    value text not null
) strict, without rowid;

create table tasks (
    id integer primary key autoincrement,
    namespace text not null,
    name text not null,
    module text not null,
    definition integer references definitions (id) deferrable initially deferred,
    paused_ms integer,
    unique (namespace, name)
) strict;

create table definitions (
    id integer primary key autoincrement,
    task integer not null references tasks (id),
    digest text not null,
    body text not null,
    published_ms integer not null,
    unique (task, digest)
) strict;

create table workers (
    id integer primary key autoincrement,
    instance text not null unique,
    name text not null,
    pid integer not null,
    lock text not null,
    lease_ms integer not null check (lease_ms > 0),
    beat integer not null default 0,
    started_ms integer not null,
    seen_ms integer not null,
    stopped_ms integer,
    lost_ms integer,
    closed_ms integer,
    refused integer not null default 0
) strict;
create index workers_open on workers (id) where closed_ms is null;
create index workers_closed on workers (closed_ms) where closed_ms is not null;

create table worker_tasks (
    worker integer not null references workers (id),
    task integer not null references tasks (id),
    definition integer not null references definitions (id),
    primary key (worker, task)
) strict, without rowid;

create table jobs (
    id integer primary key autoincrement,
    task integer not null references tasks (id),
    run_id text not null,
    named integer not null check (named in (0, 1)),
    kind text not null check (kind in ('submit', 'map', 'backfill', 'calls')),
    input_digest text not null,
    tz text not null,
    labels text not null,
    sealed integer not null check (sealed in (0, 1)),
    total_ms integer check (total_ms >= 0),
    cancel_ms integer,
    release_ms integer,
    created_ms integer not null,
    touched_ms integer not null,
    ended_ms integer,
    pruned_ms integer,
    pruned_to integer,
    -- Of a job that holds the calls of a workflow: the work item whose they are, and from which generation on they count.
    parent_job integer,
    parent_number integer,
    epoch integer,
    traceparent text,
    pending integer not null default 0 check (pending >= 0),
    started integer not null default 0 check (started >= 0),
    retry integer not null default 0 check (retry >= 0),
    success integer not null default 0 check (success >= 0),
    failure integer not null default 0 check (failure >= 0),
    revoked integer not null default 0 check (revoked >= 0),
    check ((kind = 'calls') = (parent_job is not null)),
    check ((parent_job is null) = (parent_number is null) and (parent_job is null) = (epoch is null)),
    check (ended_ms is null or (sealed = 1 and pending + started + retry = 0)),
    check (pruned_ms is null or ended_ms is not null),
    check (pruned_to is null or pruned_ms is not null)
) strict;
create unique index jobs_run on jobs (task, run_id) where parent_job is null;
create unique index jobs_calls on jobs (parent_job, parent_number, epoch) where parent_job is not null;
create index jobs_cancelling on jobs (id) where cancel_ms is not null and ended_ms is null;
create index jobs_unsealed on jobs (id) where sealed = 0;
create index jobs_releasing on jobs (id) where release_ms is not null;
create index jobs_past on jobs (ended_ms, id) where ended_ms is not null and pruned_ms is null;
create index jobs_unended on jobs (created_ms) where ended_ms is null and parent_job is null;
create index jobs_of_task on jobs (task, id) where parent_job is null;
create index jobs_pruning on jobs (id) where pruned_to is not null;

create table items (
    job integer not null,
    number integer not null check (number >= 0),
    task integer not null,
    definition integer not null,
    once integer not null check (once in (0, 1)),
    priority integer not null check (priority between 1 and 5),
    status text not null,
    due_ms integer not null,
    wait text,
    generation integer not null check (generation >= 1),
    attempt integer not null check (attempt >= 0),
    token integer not null check (token >= attempt),
    version integer not null,
    worker integer,
    claimed_ms integer,
    cancel_ms integer,
    deadline_ms integer,
    cutoff_ms integer,
    charges text not null,
    crashes integer not null check (crashes >= 0),
    snoozes integer not null check (snoozes >= 0),
    keep_from integer not null check (keep_from between 1 and generation),
    reason text not null,
    failure_class text,
    created_ms integer not null,
    ended_ms integer,
    cause text,
    primary key (job, number),
    -- Written as cases, since `in` with a list of more than two costs a lookup in a table that is made for it each time.
    check (case status
        when 'STARTED' then worker is not null and claimed_ms is not null and wait is null and ended_ms is null
        when 'SUCCESS' then worker is null and claimed_ms is null and wait is null and ended_ms is not null
        when 'PENDING' then worker is null and claimed_ms is null and wait is not null and ended_ms is null and cancel_ms is null
        when 'RETRY' then worker is null and claimed_ms is null and wait is not null and ended_ms is null and cancel_ms is null
        when 'FAILURE' then worker is null and claimed_ms is null and wait is null and ended_ms is not null
        when 'REVOKED' then worker is null and claimed_ms is null and wait is null and ended_ms is not null
        else 0 end),
    check (case wait
        when 'ready' then 1 when 'backoff' then 1 when 'schedule' then 1 when 'snooze' then 1 when 'submitting' then 1
        when 'predecessor' then 1 else wait is null end)
) strict, without rowid;
create index items_ready on items (task, once, priority, due_ms, job, number) where status in ('PENDING', 'RETRY');
create index items_held on items (worker, job, number) where worker is not null;
create index items_deadline on items (deadline_ms) where deadline_ms is not null and status in ('PENDING', 'RETRY');
create index items_status on items (job, status, number) where status = 'RETRY' or status = 'FAILURE' or status = 'REVOKED';

create index items_cause on items (cause, job, number) where cause is not null;

create table inputs (
    job integer not null,
    number integer not null,
    task integer not null,
    key text not null,
    arguments text not null,
    window_start_ms integer,
    window_end_ms integer,
    primary key (job, number),
    unique (job, key),
    check ((window_start_ms is null) = (window_end_ms is null)),
    check (window_start_ms < window_end_ms)
) strict, without rowid;
create index inputs_window on inputs (task, window_start_ms, window_end_ms) where window_start_ms is not null;

-- What is kept of windows that succeeded when the details of their jobs are removed: that they are done, and what it would mean to
-- run them again.
create table past_windows (
    task integer not null,
    window_start_ms integer not null,
    window_end_ms integer not null,
    job integer not null,
    number integer not null,
    key text not null,
    definition integer not null,
    rows integer,
    ended_ms integer not null,
    primary key (task, window_start_ms, window_end_ms),
    unique (job, number),
    check (window_start_ms < window_end_ms)
) strict, without rowid;

create table attempts (
    job integer not null,
    number integer not null,
    token integer not null,
    generation integer not null,
    attempt integer not null check (attempt >= 1),
    worker integer not null,
    outcome text not null check (case outcome
        when 'SUCCEEDED' then 1 when 'FAILED' then 1 when 'TIMED_OUT' then 1 when 'LOST' then 1 when 'INTERRUPTED' then 1
        when 'SNOOZED' then 1 when 'CANCELLED' then 1 else 0 end),
    reason text not null,
    claimed_ms integer not null,
    started_ms integer,
    ended_ms integer not null check (ended_ms >= claimed_ms),
    failure_class text,
    rule text,
    error_type text,
    error_message text,
    failure text,
    entry integer,
    charged integer,
    delay_ms integer check (delay_ms >= 0),
    planned_ms integer,
    retry_after_ms integer,
    rows integer check (rows >= 0),
    result text,
    exit_code integer,
    signal integer,
    pid integer,
    cause text,
    primary key (job, number, token)
) strict, without rowid;
create trigger attempts_never_change before update on attempts
begin
    select raise(abort, 'an attempt never changes once it has ended');
end;

-- What failed, counted by its cause for each task; outlives the jobs that it counts. `parts` is JSON: what the fingerprint is made of.
create table causes (
    task integer not null,
    cause text not null,
    version integer not null,
    failure_class text not null,
    error_type text not null,
    title text not null,
    parts text not null,
    failures integer not null,
    failed_now integer not null,
    first_ms integer not null,
    last_ms integer not null,
    sample_job integer not null,
    sample_number integer not null,
    sample_token integer not null,
    primary key (task, cause)
) strict, without rowid;

create table checkpoints (
    job integer not null,
    number integer not null,
    kind text not null check (kind in ('step', 'cursor')),
    key text not null,
    generation integer not null,
    value text not null,
    token integer not null,
    definition integer not null,
    at_ms integer not null,
    primary key (job, number, kind, key, generation)
) strict, without rowid;

create table logs (
    job integer not null,
    number integer not null,
    token integer not null,
    part integer not null,
    at_ms integer not null,
    text text not null,
    primary key (job, number, token, part)
) strict, without rowid;

create table progress (
    job integer not null,
    number integer not null,
    token integer not null,
    done real not null,
    total real not null,
    at_ms integer not null,
    primary key (job, number)
) strict, without rowid;

-- The calls of a workflow by where its body made them; what was called there last counts.
create table calls (
    job integer not null,
    place text not null,
    number integer not null,
    digest text not null,
    round integer not null,
    primary key (job, place)
) strict, without rowid;
create unique index calls_number on calls (job, number);

-- Calls that have ended, for the worker that runs the body which waits for them.
create table arrivals (
    worker integer not null,
    job integer not null,
    number integer not null,
    primary key (worker, job, number)
) strict, without rowid;

create table successors (
    job integer not null,
    number integer not null,
    next_job integer not null,
    next_number integer not null,
    primary key (job, number),
    unique (next_job, next_number)
) strict, without rowid;

create table events (
    id integer primary key autoincrement,
    at_ms integer not null,
    kind text not null,
    job integer,
    number integer,
    generation integer,
    reason text
) strict;
create index events_of_item on events (job, number);

create table audit (
    id integer primary key autoincrement,
    at_ms integer not null,
    actor text not null,
    source text not null,
    action text not null,
    target text not null,
    reason text not null,
    expected text not null,
    found text not null,
    changed integer not null,
    address text not null,
    operation text
) strict;
create index audit_operation on audit (operation) where operation is not null;
create trigger audit_never_changes before update on audit
begin
    select raise(abort, 'the audit is append-only');
end;
create trigger audit_never_shrinks before delete on audit
begin
    select raise(abort, 'the audit is append-only');
end;

-- Jobs that somebody submits in chunks, until they are sealed: what all of their work items share.
create table uploads (
    job integer primary key,
    definition integer not null references definitions (id),
    priority integer not null,
    due_ms integer not null,
    deadline_ms integer,
    cutoff_ms integer,
    arguments text not null
) strict;

-- Keys of the API; of the key itself only a digest. `pipelines` is JSON: the names of the tasks that it is for, null for all.
create table access_keys (
    id text primary key,
    name text not null,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    digest text not null,
    pipelines text,
    created_ms integer not null,
    expires_ms integer,
    revoked_ms integer
) strict, without rowid;
create unique index access_keys_name on access_keys (name) where revoked_ms is null;

-- People who are logged in by a browser: of the cookie only a digest, and whose key it was made with. A key of one process alone
-- (`mulligan dev`) is in no table.
create table login_sessions (
    digest text primary key,
    key text not null,
    created_ms integer not null,
    seen_ms integer not null
) strict, without rowid;
create index login_sessions_age on login_sessions (created_ms);

-- What the API has answered to a request that had a key of its own (Idempotency-Key), for when it is sent again; no status: it is
-- being answered.
create table replies (
    owner text not null,
    key text not null,
    digest text not null,
    at_ms integer not null,
    status integer,
    body text,
    primary key (owner, key)
) strict, without rowid;
create index replies_age on replies (at_ms);

-- What was counted, as it was written by those who settle work: whoever ends an attempt adds a line and waits for nobody. A chore
-- sums the lines up by day in `trends`, and since ever in `totals`.
create table tallies (
    id integer primary key,
    task integer not null,
    day integer not null,
    measure text not null,
    kind text not null,
    detail text not null,
    value integer not null
) strict;

-- What was counted of a task on a day (days since 1970, UTC); outlives the details of the jobs.
create table trends (
    task integer not null,
    day integer not null,
    measure text not null,
    kind text not null,
    detail text not null,
    value integer not null,
    primary key (task, day, measure, kind, detail)
) strict, without rowid;

create table totals (
    task integer not null,
    measure text not null,
    kind text not null,
    detail text not null,
    value integer not null,
    primary key (task, measure, kind, detail)
) strict, without rowid;

-- What has failed and not succeeded since, and since when: a window of a task, whichever job it is in, or a single work item.
create table outages (
    task integer not null,
    subject text not null,
    since_ms integer not null,
    primary key (task, subject)
) strict, without rowid;

-- What was asked for of all work items that matched a filter: which they are is fixed in bulk_items before anything is done. `place`
-- is how far it has come in them; what is done to items is committed together with it. `size` is that of the next page, due at due_ms.
create table bulk_operations (
    id integer primary key autoincrement,
    name text not null,
    action text not null check (action in ('retry', 'retry-now', 'cancel', 'overwrite')),
    mode text check (mode in ('recover', 'restart')),
    filter text not null,
    accept_risk integer not null check (accept_risk in (0, 1)),
    forward integer not null check (forward in (0, 1)),
    actor text not null,
    source text not null,
    reason text not null,
    address text not null,
    request text unique,
    pipelines text,
    state text not null check (state in ('COLLECTING', 'RUNNING', 'DONE', 'ABORTED', 'FAILED')),
    error text,
    matched integer not null check (matched >= 0),
    place integer not null check (place >= 0),
    together integer not null check (together >= 0),
    done integer not null check (done >= 0),
    skipped text not null,
    size integer not null check (size > 0),
    due_ms integer not null,
    created_ms integer not null,
    touched_ms integer not null,
    started_ms integer,
    ended_ms integer,
    check ((mode is not null) = (action = 'retry')),
    check ((ended_ms is null) = (state in ('COLLECTING', 'RUNNING'))),
    check ((error is not null) = (state = 'FAILED')),
    check (done <= matched)
) strict;
create index bulk_operations_due on bulk_operations (due_ms, id) where state = 'RUNNING';
create index bulk_operations_collecting on bulk_operations (touched_ms) where state = 'COLLECTING';
create index bulk_operations_past on bulk_operations (ended_ms) where ended_ms is not null;

create table bulk_items (
    operation integer not null,
    position integer not null check (position >= 0),
    job integer not null,
    number integer not null,
    generation integer not null,
    primary key (operation, position),
    unique (operation, job, number)
) strict, without rowid;
