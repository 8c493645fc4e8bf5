-- Stores the last number and the end of the recovery grace period. Invariant: the number never goes back.
-- ?1 number, ?2 end of the grace period (virtual ms; null: none).
update slot_store set number = max(number, ?1), learning_until = ?2 where one = 1
