-- Writes down that the limit of pool ?1 changed, at ?2 (ms since 1970) and number ?3, from ?4 to ?5.
insert into record (pool, at, number, from_slots, to_slots) values (?1, ?2, ?3, ?4, ?5)
