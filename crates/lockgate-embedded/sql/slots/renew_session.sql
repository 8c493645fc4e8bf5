-- Renews a session. Changes no row if it does not exist.
-- ?1 session, ?2 new deadline (virtual ms).
update sessions set deadline = ?2 where id = ?1
