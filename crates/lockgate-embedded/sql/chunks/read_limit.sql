-- A limit by its name.
select name, boot, rate, burst, anchor, issued, next_chunk, out, version, note,
    is_limited, changed_at, ended, failed, slow
from rates where name = ?1
