-- Advises ?2 slots for pool ?1 (null: takes the advice back), enforced or not (?3: 1 or 0), for the reason ?4, at ?5 (virtual ms).
-- Keeps: what was configured stays.
update pools set advice = ?2, advice_enforced = ?3, advice_why = ?4, advised_at = ?5 where name = ?1
