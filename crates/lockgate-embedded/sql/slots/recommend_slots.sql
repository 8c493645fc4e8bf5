-- Stores the recommended slots of a pool. The configured slots stay.
-- ?1 pool, ?2 slots (null: withdraws the recommendation), ?3 1 if it is enforced, else 0, ?4 reason, ?5 now
-- (virtual ms).
update pools
set recommended_slots = ?2, recommendation_enforced = ?3, recommendation_reason = ?4, recommended_at = ?5
where name = ?1
