-- Publishes dead letters to their queue again, oldest first. The caller deletes them in the same transaction.
-- ?1 queue, ?2 JSON array of their numbers (empty: all).
insert into messages (queue, envelope)
select queue, envelope from dead_letters
where queue = ?1 and (?2 = '[]' or number in (select value from json_each(?2)))
order by number
