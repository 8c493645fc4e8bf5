-- Returns whether a consumer can receive a message now: one row, 1 or 0.
-- ?1 number of the consumer, ?2 queue, ?3 prefetch.
select exists (select 1 from messages where queue = ?2 and consumer is null)
    and (select count(*) from messages where consumer = ?1) < ?3
