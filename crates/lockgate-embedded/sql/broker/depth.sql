-- Counts the messages of a queue: ready, in flight and dead.
-- ?1 queue. Returns one row.
select
    (select count(*) from messages where queue = ?1 and consumer is null) as ready,
    (select count(*) from messages where consumer is not null and queue = ?1) as in_flight,
    (select count(*) from dead_letters where queue = ?1) as dead
