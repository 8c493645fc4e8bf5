-- Deletes history entries that no longer count, except the last row, so that serials never go back.
delete from record
where serial <= (select serial from record_start) and serial < (select max(serial) from record)
