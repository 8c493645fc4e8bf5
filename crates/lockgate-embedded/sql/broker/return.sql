-- Makes deliveries ready again: ?1 is a JSON array of {number, consumer}. One that its consumer no longer has is passed over.
update messages set consumer = null where number in (
    select m.number from json_each(?1) x cross join messages m
        on m.number = x.value ->> 'number' and m.consumer = x.value ->> 'consumer'
)
