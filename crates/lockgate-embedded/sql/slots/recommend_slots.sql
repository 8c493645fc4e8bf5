-- Stores the recommended slots of a pool. The configured slots stay.
-- ?1 pool, ?2 slots (null: withdraws the recommendation), ?3 1 if it is enforced, else 0, ?4 reason, ?5 now
-- (virtual ms).
update pools set advice = ?2, advice_enforced = ?3, advice_why = ?4, advised_at = ?5 where name = ?1
