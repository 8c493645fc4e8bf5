-- Stores messages: ?1 is a JSON array of envelopes. Keeps: messages of one call are taken in its order.
insert into messages (queue, envelope)
select value ->> 'queue', value from json_each(?1) order by key
