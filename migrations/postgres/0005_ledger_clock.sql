-- Ledger time: due times, deadlines and ages are kept in it, so that a step of the server's clock moves none of them. It began
-- as wall time. Each process counts it by its own monotonic clock and passes it to statements.

-- The server's clock, ms since 1970.
create function wall_now() returns bigint
language sql stable
as $$ select floor(extract(epoch from now()) * 1000)::bigint $$;

-- One row: ledger time as a process has told it last, the server's clock then, and the session that told it.
create table ledger_clock (
    one integer primary key check (one = 1),
    ledger bigint not null,
    wall bigint not null,
    session integer,
    session_start timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
insert into ledger_clock (one, ledger, wall) values (1, wall_now(), wall_now());

-- A change of counts is as old as the change of its jobs.
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
