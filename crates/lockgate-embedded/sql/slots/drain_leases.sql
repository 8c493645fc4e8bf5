-- Makes leases drain until a deadline. Invariant: a draining lease still uses its slots.
-- ?1 JSON array of {id, until (virtual ms)}.
update leases set draining_until = x.until
from (select value ->> 'id' as id, value ->> 'until' as until from json_each(?1)) x
where leases.id = x.id
