-- Returns the latest recorded point of ledger time, for a process that starts. One row: `ledger`; the `wall`
-- time that it stands for; `now`, the server's clock (all ms since 1970); and `is_counted`, whether the
-- session that recorded the point still exists, so that its process continues counting. Sessions of other
-- users are not visible.
select c.ledger, c.wall, wall_now() as now, exists (
    select from pg_stat_activity a where a.pid = c.session and a.backend_start = c.session_start
) as is_counted
from ledger_clock c where c.one = 1
