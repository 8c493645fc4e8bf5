-- Inserts or updates a rate limit.
-- ?1 name, ?2 boot, ?3 rate, ?4 burst (tokens), ?5 anchor (ns of uptime, of the token schedule), ?6 issued
-- (tokens), ?7 id of the next token batch, ?8 outstanding batches (JSON array of [id, tokens, end in ns]),
-- ?9 version, ?10 note, ?11 1 if a rate is in force, else 0, ?12 time of the last change (ns of uptime),
-- ?13 to ?15 jobs that ended, failed and were slow since then.
insert into rates (
    name, boot, rate, burst, anchor, issued, next_batch, outstanding, version, note,
    is_limited, changed_at, ended, failed, slow
)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
on conflict (name) do update set
    boot = excluded.boot, rate = excluded.rate, burst = excluded.burst, anchor = excluded.anchor,
    issued = excluded.issued,
    next_batch = excluded.next_batch, outstanding = excluded.outstanding, version = excluded.version, note = excluded.note,
    is_limited = excluded.is_limited, changed_at = excluded.changed_at,
    ended = excluded.ended, failed = excluded.failed, slow = excluded.slow
