-- The ledger: runs and jobs. Times are ms since 1970 by the wall clock of the host.

create table runs (
    number integer primary key,      -- in the order of their making
    id text not null unique,
    name text not null unique,
    kind text not null,
    queue text not null,
    as_of integer not null,
    status text not null check (status in ('planning', 'active', 'paused', 'cancelled')),
    batch_size integer not null check (batch_size between 1 and 1000),
    batch_delay integer not null,    -- ms
    planned integer not null default 0,
    batches integer not null default 0,
    start_at integer,
    next_due integer,                -- of the next batch; null: the last one went out, or the manifest is not whole
    last_batch_at integer,
    deadline integer,                -- ms after the start
    deadline_at integer,
    created_at integer not null
) strict;

create index runs_due on runs (next_due) where status = 'active' and next_due is not null;
create index runs_deadline on runs (deadline_at) where deadline_at is not null;

create table jobs (
    seq integer primary key,         -- in the order of their planning
    id text not null unique,
    run integer not null references runs (number),
    key text not null,
    tenant text not null,
    payload text not null,
    state text not null default 'scheduled'
        check (state in ('scheduled', 'enqueued', 'succeeded', 'skipped', 'failed', 'cancelled')),
    dispatch integer not null default 0,   -- the number of the latest dispatch
    dispatched integer not null default 0, -- 1: that dispatch is out: claimed, and neither settled nor taken back since
    started integer not null default 0,    -- 1: a delivery of that dispatch was started
    executing integer not null default 0,  -- 1: the latest execution is unsettled
    due_at integer,                        -- when it is due again, or its claim ends; null and scheduled: waits for its batch
    attempt integer not null default 0,
    executions integer not null default 0,
    unsettled integer not null default 0,  -- starts in a row without a settlement
    deferrals integer not null default 0,
    batch integer,
    reason text,
    waited integer,                        -- ms
    ran integer,                           -- ms
    settled_at integer,
    updated_at integer not null,
    unique (run, key)
) strict;

create index jobs_of_run on jobs (run);
create index jobs_by_state on jobs (run, state, deferrals);
create index jobs_for_a_batch on jobs (run, seq) where state = 'scheduled' and due_at is null;
create index jobs_due on jobs (due_at, run) where due_at is not null;
create index jobs_with_the_broker on jobs (updated_at) where state = 'enqueued' and started = 0;

-- A job as its reader wants it: the words of its run beside its own.
create view job_records as
select j.*, r.id as run_id, r.kind, r.queue
from jobs j join runs r on r.number = j.run;
