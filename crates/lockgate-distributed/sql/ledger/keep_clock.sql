-- Tells this process's ledger time, $1 (ms), and returns the latest that any process has told, with the server's clock: one
-- row of `ledger` and `wall`. It is written down once a second, whoever tells it.
with told as (
    update ledger_clock set
        ledger = $1, wall = wall_now(), session = pg_backend_pid(),
        session_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid())
    where one = 1 and ledger < $1::bigint - 1000
    returning ledger
)
select greatest(c.ledger, (select ledger from told)) as ledger, wall_now() as wall from ledger_clock c where c.one = 1
