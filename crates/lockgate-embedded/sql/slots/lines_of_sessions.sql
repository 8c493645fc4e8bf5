-- The lines whose first is a waiter of the sessions in ?1 (JSON array of ids).
select tenant, pools from waiters where session in (select value from json_each(?1)) and head = 1
