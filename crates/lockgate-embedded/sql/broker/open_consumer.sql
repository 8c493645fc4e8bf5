-- Makes a consumer that is dead at ?1 (virtual ms) without a heartbeat, and returns its number.
insert into consumers (deadline) values (?1) returning number
