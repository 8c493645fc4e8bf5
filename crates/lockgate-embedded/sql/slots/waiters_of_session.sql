-- The ids of session ?1's waiters.
select id from waiters where session = ?1
