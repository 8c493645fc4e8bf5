-- Takes the waiters that became leases out of line: ?1 is a JSON array of {ticket}.
delete from waiters where ticket in (select value ->> 'ticket' from json_each(?1))
