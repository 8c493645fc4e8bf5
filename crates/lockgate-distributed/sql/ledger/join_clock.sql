-- The latest point of ledger time, for a process that starts. One row: `ledger` and the `wall` time that it stands for; `now`,
-- the server's clock (all in ms since 1970); and `is_counted`, whether the session that told this point is still there, so
-- that its process goes on counting. A session of another user is not seen.
select c.ledger, c.wall, wall_now() as now, exists (
    select from pg_stat_activity a where a.pid = c.session and a.backend_start = c.session_start
) as is_counted
from ledger_clock c where c.one = 1
