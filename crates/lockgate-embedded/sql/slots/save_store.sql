-- Keeps the last number ?1, and until when the store learns ?2 (virtual ms, or null).
-- Keeps: numbers never go back.
update slot_store set number = max(number, ?1), learning_until = ?2 where one = 1
