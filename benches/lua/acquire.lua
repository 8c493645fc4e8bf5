-- Acquires a slot of a counter with leases, as a prototype does: no session, no wait queue, no fence.
-- KEYS: 1 hash of leases. ARGV: 1 lease, 2 slots. Returns 1 when the slot is held, 0 when none is free.
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], 1)
return 1
