-- Takes a slot of a counter with leases, as a prototype does: no session, no line, no fence.
-- KEYS: 1 hash of leases. ARGV: 1 lease, 2 slots. Returns 1 when held, 0 when there is none.
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], 1)
return 1
