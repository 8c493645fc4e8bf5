-- Moves the start of the history so that a number of rows remain, if there are more.
-- ?1 rows to keep.
-- Invariant: the store knows from where on the history is complete.
update record_start set at = r.at, number = max(record_start.number, r.number), serial = r.serial
from (select at, number, serial from record where serial = (select max(serial) from record) - ?1) r
where record_start.one = 1 and r.serial > record_start.serial
