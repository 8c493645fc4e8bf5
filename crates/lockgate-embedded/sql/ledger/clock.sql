-- The latest point of ledger time: one row.
select ledger, wall, uptime, boot from ledger_clock where one = 1
