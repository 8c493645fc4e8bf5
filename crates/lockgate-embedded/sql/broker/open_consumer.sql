-- Creates a consumer and returns its number.
-- ?1 deadline (virtual ms), after which it is dead without a heartbeat, ?2 queue.
insert into consumers (deadline, queue) values (?1, ?2) returning number
