-- All limits, by name.
select name, boot, rate, burst, anchor, issued, next_chunk, out, version, note from rates order by name
