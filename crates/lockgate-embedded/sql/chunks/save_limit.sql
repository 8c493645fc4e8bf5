-- Writes a limit down, whether it is there or not.
insert into rates (
    name, boot, rate, burst, anchor, issued, next_chunk, out, version, note,
    is_limited, changed_at, ended, failed, slow
)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
on conflict (name) do update set
    boot = excluded.boot, rate = excluded.rate, burst = excluded.burst, anchor = excluded.anchor, issued = excluded.issued,
    next_chunk = excluded.next_chunk, out = excluded.out, version = excluded.version, note = excluded.note,
    is_limited = excluded.is_limited, changed_at = excluded.changed_at,
    ended = excluded.ended, failed = excluded.failed, slow = excluded.slow
