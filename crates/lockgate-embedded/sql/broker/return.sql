-- Makes delivered messages ready again. Ignores a message that its consumer no longer has.
-- ?1 JSON array of {number, consumer}.
update messages set consumer = null where number in (
    select m.number from json_each(?1) x cross join messages m
        on m.number = x.value ->> 'number' and m.consumer = x.value ->> 'consumer'
)
