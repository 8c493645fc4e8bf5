-- Forgets dead letters of queue ?1: those in ?2 (JSON array of numbers; empty: all).
delete from dead_letters
where queue = ?1 and (?2 = '[]' or number in (select value from json_each(?2)))
