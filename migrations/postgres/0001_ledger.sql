-- The ledger: runs and jobs. Times are ms since 1970 by the clock of this server.
--
-- What never changes of a job (`jobs`) lies apart from what changes at every step (`standings`), so that a step writes
-- a narrow row. No index of `standings` has a column that a dispatch, a start or a settlement changes: with the free
-- space of its pages these are updates in place (HOT), which no index pays for. So what falls due later is written
-- down beside it, a row for many jobs: `claims` and `publications`.
--
-- There are no foreign keys: a check for each job would lock the row of its run, which every process writes.

create function ledger_now() returns bigint
language sql stable
as $$ select floor(extract(epoch from now()) * 1000)::bigint $$;

create type job_state as enum ('scheduled', 'enqueued', 'succeeded', 'skipped', 'failed', 'cancelled');

create table runs (
    number integer generated always as identity primary key, -- in the order of their making
    id uuid not null unique,
    name text not null unique,
    kind text not null,
    queue text not null,
    as_of bigint not null,
    status text not null check (status in ('planning', 'active', 'paused', 'cancelled')),
    batch_size integer not null check (batch_size between 1 and 1000),
    batch_delay bigint not null,       -- ms
    planned bigint not null default 0,
    batches integer not null default 0,
    place bigint not null default 0,   -- seq of the last job that went out with a batch
    start_at bigint,
    next_due bigint,                   -- of the next batch; null: the last one went out, or the manifest is not whole
    last_batch_at bigint,
    deadline bigint,                   -- ms after the start
    deadline_at bigint,
    expired_to bigint not null default 0, -- seq up to which the sweep has skipped what was left
    pruned_to bigint not null default 0,  -- seq up to which its jobs are forgotten
    created_at bigint not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index runs_due on runs (next_due) where next_due is not null;
create index runs_deadline on runs (deadline_at) where deadline_at is not null;

create table jobs (
    seq bigint generated always as identity primary key, -- in the order of their planning
    run integer not null,
    id uuid not null,
    key text not null collate "C",
    tenant text not null,
    payload text not null,
    unique (run, key)
);

create table standings (
    id uuid primary key,
    seq bigint not null,
    due_at bigint,                            -- when it is due again
    held_until bigint,                        -- when the claim of its latest dispatch ends
    settled_at bigint,
    updated_at bigint not null,
    started_by bigint not null default 0,     -- the token of its latest start
    run integer not null,
    state job_state not null default 'scheduled',
    dispatch integer not null default 0,      -- the number of the latest dispatch
    attempt integer not null default 0,
    executions integer not null default 0,
    deferrals integer not null default 0,
    batch integer,
    waited integer,                           -- ms
    ran integer,                              -- ms
    unsettled smallint not null default 0,    -- starts in a row without a settlement
    dispatched boolean not null default false, -- that dispatch is out: claimed, and neither settled nor taken back since
    started boolean not null default false,   -- a delivery of that dispatch was started
    executing boolean not null default false, -- the latest execution is unsettled
    reason text
) with (fillfactor = 50);

create index standings_of_run on standings (run, seq);
create index standings_due on standings (run, due_at) where due_at is not null;

-- Jobs that were claimed together: those that were neither published nor started by then are due again.
create table claims (
    until bigint not null,
    number bigint generated always as identity,
    run integer not null,
    jobs uuid[] not null,
    primary key (until, number)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table claims alter column jobs set storage external;

-- Jobs whose messages were confirmed together: a sweep looks, once, whether they were started.
create table publications (
    at bigint not null,
    number bigint generated always as identity,
    run integer not null,
    jobs uuid[] not null,
    primary key (at, number)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table publications alter column jobs set storage external;

-- Jobs and deferrals by run and state: the sum of both tables. Every change of a standing adds rows to `count_changes`,
-- so that no two processes wait for one row; now and then they are folded into `counts`.
create table counts (
    run integer not null,
    state job_state not null,
    jobs bigint not null,
    deferrals bigint not null,
    at bigint not null,                -- last change, ms since 1970
    primary key (run, state)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table count_changes (
    run integer not null,
    state job_state not null,
    jobs bigint not null,
    deferrals bigint not null,
    at bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create index count_changes_of_run on count_changes (run);

create view tallies as
select run, state, sum(jobs)::bigint as jobs, sum(deferrals)::bigint as deferrals, max(at) as at
from (select * from counts union all select * from count_changes) x
group by run, state;

create function count_added() returns trigger language plpgsql set search_path from current
as $$
begin
    insert into count_changes (run, state, jobs, deferrals, at)
    select run, state, count(*), sum(deferrals), ledger_now() from added group by run, state;
    return null;
end $$;

create function count_moved() returns trigger language plpgsql set search_path from current
as $$
begin
    insert into count_changes (run, state, jobs, deferrals, at)
    select run, state, sum(jobs), sum(deferrals), ledger_now()
    from (
        select run, state, 1 as jobs, deferrals from after
        union all
        select run, state, -1, -deferrals from before
    ) x
    group by run, state
    having sum(jobs) <> 0 or sum(deferrals) <> 0;
    return null;
end $$;

-- What is forgotten does not count as a change of its run.
create function count_gone() returns trigger language plpgsql set search_path from current
as $$
begin
    insert into count_changes (run, state, jobs, deferrals, at)
    select run, state, -count(*), -sum(deferrals), 0 from gone group by run, state;
    return null;
end $$;

create trigger count_added after insert on standings
referencing new table as added for each statement execute function count_added();

create trigger count_moved after update on standings
referencing old table as before new table as after for each statement execute function count_moved();

create trigger count_gone after delete on standings
referencing old table as gone for each statement execute function count_gone();

-- A job as its reader wants it: the words of its run beside its own.
create view job_records as
select s.seq, s.id, s.run, r.id as run_id, r.kind, j.key, j.tenant, s.state::text as state, s.attempt, s.executions, s.deferrals,
    s.batch, case when s.state = 'scheduled' then coalesce(s.due_at, s.held_until) end as due_at, s.reason, s.waited, s.ran,
    s.updated_at, j.payload
from standings s join jobs j on j.seq = s.seq join runs r on r.number = s.run;
