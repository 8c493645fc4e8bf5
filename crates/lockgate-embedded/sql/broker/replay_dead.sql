-- Puts dead letters of queue ?1 back into it: those in ?2 (JSON array of numbers; empty: all), the oldest first.
insert into messages (queue, envelope)
select queue, envelope from dead_letters
where queue = ?1 and (?2 = '[]' or number in (select value from json_each(?2)))
order by number
