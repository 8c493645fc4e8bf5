-- The clock: now (virtual ms), uptime (ms since the start of the host, when it was last read), boot (which start).
select now, uptime, boot from clock where one = 1
