-- Messages of queue ?1: ready, unsettled, dead.
select
    (select count(*) from messages where queue = ?1 and consumer is null) as ready,
    (select count(*) from messages where consumer is not null and queue = ?1) as unsettled,
    (select count(*) from dead_letters where queue = ?1) as dead
