-- Lets the record begin behind the row that is ?1 rows before its last one, when there is one.
-- Keeps: it is said from where on the record is whole.
update record_start set at = r.at, number = max(record_start.number, r.number), serial = r.serial
from (select at, number, serial from record where serial = (select max(serial) from record) - ?1) r
where record_start.one = 1 and r.serial > record_start.serial
