-- Ledger time: due times, deadlines and ages are kept in it, so that a step of the wall clock moves none of them. It began as
-- wall time.

-- One row: ledger time, what the wall clock showed then (both in ms since 1970), and the host's uptime (ms) in which of its
-- boots. Within a boot, ledger time follows the uptime.
create table ledger_clock (
    one integer primary key check (one = 1),
    ledger integer not null,
    wall integer not null,
    uptime integer not null,
    boot text not null
) strict;
insert into ledger_clock (one, ledger, wall, uptime, boot)
values (1, cast(unixepoch('subsec') * 1000 as integer), cast(unixepoch('subsec') * 1000 as integer), 0, '');
