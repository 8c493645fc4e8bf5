-- Ends the pauses that are over at ?1 (virtual ms).
update pools set paused_until = null where paused_until <= ?1
