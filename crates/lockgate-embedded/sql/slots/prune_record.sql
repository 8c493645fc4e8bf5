-- Forgets what does not count any more, but for the last row: serials never go back.
delete from record
where serial <= (select serial from record_start) and serial < (select max(serial) from record)
