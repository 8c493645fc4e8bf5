-- Returns from where on the history is complete (at, in ms since 1970, number, serial), and the serial of its
-- last row. One row.
select at, number, serial, (select coalesce(max(serial), 0) from record) as last
from record_start where one = 1
