-- Copies rejected messages to the dead letters. Ignores a message that its consumer no longer has.
-- ?1 JSON array of {number, consumer, reason, detail}, ?2 now (ms since 1970).
insert into dead_letters (queue, envelope, reason, detail, died_at)
select m.queue, m.envelope, x.value ->> 'reason', x.value ->> 'detail', ?2
from json_each(?1) x cross join messages m
    on m.number = x.value ->> 'number' and m.consumer = x.value ->> 'consumer'
