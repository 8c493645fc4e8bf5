-- Acquires a slot of a simple semaphore: a sorted set of holders by the time at which they expire.
-- KEYS: 1 sorted set. ARGV: 1 holder, 2 slots, 3 now (ms), 4 expiry (ms).
-- Returns 1 when the slot is held, 0 when none is free.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
return 1
