-- Returns the queues whose head is a waiter of these sessions.
-- ?1 JSON array of session ids.
select tenant, pools from waiters where session in (select value from json_each(?1)) and head = 1
