-- Adds a change of the slots of a pool to the history.
-- ?1 pool, ?2 now (ms since 1970), ?3 last number, ?4 slots before, ?5 slots after.
insert into record (pool, at, number, from_slots, to_slots) values (?1, ?2, ?3, ?4, ?5)
