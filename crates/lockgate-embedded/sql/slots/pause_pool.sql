-- Pauses pool ?1 until ?2 (virtual ms). Keeps: a pool that is paused is not paused again.
update pools set paused_until = ?2 where name = ?1 and paused_until is null
