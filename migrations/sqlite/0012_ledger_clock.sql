-- Adds ledger time. Due times, deadlines and ages are stored in it, so that a step of the wall clock does not
-- change them. It starts at the wall-clock time of this migration.

-- One row, the latest stored point: ledger time and wall-clock time (ms since 1970), and the uptime of the
-- host (ms) with its boot. Within a boot, ledger time follows the uptime.
create table ledger_clock (
    one integer primary key check (one = 1),
    ledger integer not null,
    wall integer not null,
    uptime integer not null,
    boot text not null
) strict;
insert into ledger_clock (one, ledger, wall, uptime, boot)
values (1, cast(unixepoch('subsec') * 1000 as integer), cast(unixepoch('subsec') * 1000 as integer), 0, '');
