-- Deletes the waiters that became leases.
-- ?1 JSON array of {ticket}.
delete from waiters where ticket in (select value ->> 'ticket' from json_each(?1))
