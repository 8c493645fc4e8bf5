-- From where on the record is whole (at, number, serial), and its last row: one row.
select at, number, serial, (select coalesce(max(serial), 0) from record) as last from record_start where one = 1
