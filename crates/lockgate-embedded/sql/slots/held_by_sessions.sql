-- Returns the ids of the leases of sessions that do not drain.
-- ?1 JSON array of session ids.
select id from leases where session in (select value from json_each(?1)) and draining_until is null
