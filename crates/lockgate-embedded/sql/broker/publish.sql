-- Stores messages.
-- ?1 JSON array of envelopes.
-- Invariant: messages of one call are received in its order.
insert into messages (queue, envelope)
select value ->> 'queue', value from json_each(?1) order by key
