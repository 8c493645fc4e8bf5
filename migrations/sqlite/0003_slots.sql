-- The slots: pools, leases, waiters, sessions. Times are virtual ms of the table clock.

-- One row, made here once. When it is missing, the store has lost its state.
create table slot_store (
    one integer primary key check (one = 1),
    number integer not null,    -- the last fence, or order to stop, given out
    learning_until integer      -- nothing is granted before; null: not learning
) strict;
insert into slot_store (one, number) values (1, 0);

create table pools (
    name text primary key,
    slots integer not null,
    per_tenant integer,
    version integer not null default 1,
    epoch integer not null default 1,
    peak integer not null default 0,
    hold integer                -- moving average of the time that its slots were held, ms
) strict, without rowid;

create table shares (
    pool text not null,
    tenant text not null,
    cap integer,
    weight integer not null,
    primary key (pool, tenant)
) strict, without rowid;

create table sessions (
    id text primary key,
    process text not null,
    deadline integer not null
) strict, without rowid;

create index sessions_by_deadline on sessions (deadline);

create table leases (
    id text primary key,
    session text not null,
    process text not null,
    request text not null,      -- JSON, as it was asked for
    fence integer not null,
    granted_at integer not null,
    drain_for integer not null, -- ms
    from_line integer not null, -- 1: granted to a waiter, who learns it by a push
    stop integer,               -- the number of the order to stop; null: none
    draining_until integer      -- null: held
) strict, without rowid;

create index leases_by_session on leases (session);
create index leases_to_push on leases (session, fence) where from_line = 1;
create index leases_to_stop on leases (session, stop) where stop is not null;
create index leases_draining on leases (draining_until) where draining_until is not null;

-- What a lease takes of each pool. What a pool, or a tenant in it, has in use is the sum of these: no counter can drift.
create table lease_needs (
    lease text not null references leases (id) on delete cascade,
    pool text not null,
    tenant text not null,
    weight integer not null,
    primary key (lease, pool)
) strict, without rowid;

create index lease_needs_by_pool on lease_needs (pool, tenant, weight);

create table waiters (
    ticket integer primary key,  -- the order of arrival
    id text not null unique,
    session text not null,
    tenant text not null,
    pools text not null,         -- JSON: the names of its pools, sorted
    needs text not null,         -- JSON: [{pool, weight}], each pool once
    request text not null,       -- JSON, as it was asked for
    drain_for integer not null,
    since integer not null,
    head integer not null        -- 1: the first of its line, the waiters of one tenant for the same pools
) strict;

create index waiters_by_session on waiters (session);
create index waiters_by_line on waiters (tenant, pools, ticket);
create index waiters_heads on waiters (pools, ticket) where head = 1;
