-- Gives consumer ?1 messages of queue ?2, the oldest first, as far as its window ?3 has room, and returns them in no order.
-- Keeps: one message has one consumer, and a consumer that is not known (it was taken for dead) gets none.
update messages set consumer = ?1, deliveries = deliveries + 1
where number in (
    select number from messages
    where queue = ?2 and consumer is null and exists (select 1 from consumers where number = ?1)
    order by number
    limit max(0, ?3 - (select count(*) from messages where consumer = ?1))
)
returning number, envelope, deliveries
