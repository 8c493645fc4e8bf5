-- Renews a consumer. Changes no row if it was removed as dead.
-- ?1 number of the consumer, ?2 new deadline (virtual ms).
update consumers set deadline = ?2 where number = ?1
