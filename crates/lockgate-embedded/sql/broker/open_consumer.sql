-- Makes a consumer of queue ?2 that is dead at ?1 (virtual ms) without a heartbeat, and returns its number.
insert into consumers (deadline, queue) values (?1, ?2) returning number
