-- Introduces ledger time. Due times, deadlines and ages use it, so that a step of the server's clock changes
-- none of them. It starts as wall time. Each process counts it by its own monotonic clock, and passes it to
-- statements.

-- Returns the server's clock, ms since 1970.
create function wall_now() returns bigint
language sql stable
as $$ select floor(extract(epoch from now()) * 1000)::bigint $$;

-- One row: the latest ledger time that a process has recorded, the server's clock then, and the session that
-- recorded it.
create table ledger_clock (
    one integer primary key check (one = 1),
    ledger bigint not null,
    wall bigint not null,
    session integer,
    session_start timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
insert into ledger_clock (one, ledger, wall) values (1, wall_now(), wall_now());

-- A change of counts gets the time of the change of its jobs, in ledger time.
create or replace function count_added() returns trigger language plpgsql set search_path from current
as $$
begin
    insert into count_changes (run, state, jobs, deferrals, at)
    select run, state, count(*), sum(deferrals), max(updated_at) from added group by run, state;
    return null;
end $$;

create or replace function count_moved() returns trigger language plpgsql set search_path from current
as $$
begin
    insert into count_changes (run, state, jobs, deferrals, at)
    select run, state, sum(jobs), sum(deferrals), max(at)
    from (
        select run, state, 1 as jobs, deferrals, updated_at as at from after
        union all
        select run, state, -1, -deferrals, updated_at from before
    ) x
    group by run, state
    having sum(jobs) <> 0 or sum(deferrals) <> 0;
    return null;
end $$;

drop function ledger_now();
