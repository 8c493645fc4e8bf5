-- Returns the latest stored point of ledger time: ledger and wall (ms since 1970), uptime (ms) and boot. One
-- row.
select ledger, wall, uptime, boot from ledger_clock where one = 1
