-- A limit by its name.
select name, boot, rate, burst, anchor, issued, next_chunk, out, version, note from rates where name = ?1
