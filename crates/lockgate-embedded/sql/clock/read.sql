-- Returns the last stored reading of the clock: now (virtual ms), uptime of the host (ms) and boot. One row.
select now, uptime, boot from clock where one = 1
