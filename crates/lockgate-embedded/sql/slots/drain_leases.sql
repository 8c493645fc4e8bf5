-- Drains leases: ?1 is a JSON array of {id, until} (virtual ms). Keeps: a draining lease still counts.
update leases set draining_until = x.until
from (select value ->> 'id' as id, value ->> 'until' as until from json_each(?1)) x
where leases.id = x.id
