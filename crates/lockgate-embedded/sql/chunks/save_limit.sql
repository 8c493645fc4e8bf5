-- Writes a limit down, whether it is there or not.
insert into rates (name, boot, rate, burst, anchor, issued, next_chunk, out, version, note)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
on conflict (name) do update set
    boot = excluded.boot, rate = excluded.rate, burst = excluded.burst, anchor = excluded.anchor, issued = excluded.issued,
    next_chunk = excluded.next_chunk, out = excluded.out, version = excluded.version, note = excluded.note
