-- Creates the store's own row after a loss of state, and begins the recovery grace period.
-- ?1 last number (fence or stop order), ?2 end of the grace period (virtual ms).
insert into slot_store (one, number, learning_until) values (1, ?1, ?2)
