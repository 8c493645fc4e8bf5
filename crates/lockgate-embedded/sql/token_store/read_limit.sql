-- Returns a rate limit, or no row.
-- ?1 name. Times are ns of uptime of the boot `boot`.
select name, boot, rate, burst, anchor, issued, next_batch, outstanding, version, note,
    is_limited, changed_at, ended, failed, slow
from rates where name = ?1
