-- The state is lost: from number ?1 on, nothing is granted before ?2 (virtual ms).
insert into slot_store (one, number, learning_until) values (1, ?1, ?2)
