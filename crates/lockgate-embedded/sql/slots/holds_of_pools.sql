-- The average time that slots of the pools in ?1 (JSON array of names) are held (ms, or null).
select p.name, p.hold from json_each(?1) x cross join pools p on p.name = x.value
