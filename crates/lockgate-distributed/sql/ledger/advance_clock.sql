-- Reports this process's ledger time, $1 (ms). Returns one row: `ledger`, the latest time that any process
-- has reported, and `wall`, the server's clock. The time is recorded at most once a second, whichever process
-- reports it.
with updated as (
    update ledger_clock set
        ledger = $1, wall = wall_now(), session = pg_backend_pid(),
        session_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid())
    where one = 1 and ledger < $1::bigint - 1000
    returning ledger
)
select greatest(c.ledger, (select ledger from updated)) as ledger, wall_now() as wall from ledger_clock c where c.one = 1
