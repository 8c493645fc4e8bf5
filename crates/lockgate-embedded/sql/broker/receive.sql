-- Assigns ready messages to a consumer, oldest first, up to its prefetch, and returns them in no particular
-- order.
-- ?1 number of the consumer, ?2 queue, ?3 prefetch.
-- Invariant: a message has one consumer, and a consumer that was removed as dead receives none.
update messages set consumer = ?1, deliveries = deliveries + 1
where number in (
    select number from messages
    where queue = ?2 and consumer is null and exists (select 1 from consumers where number = ?1)
    order by number
    limit max(0, ?3 - (select count(*) from messages where consumer = ?1))
)
returning number, envelope, deliveries
