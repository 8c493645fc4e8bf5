-- Writes the state of one vector into the store: one pool, waiters ahead, and leases that have been held for
-- some time. Stops the clock, so that times are exact.
--
-- KEYS: state, leases, waiters, uses, firsts, heads, behind, shares, members.
--
-- ARGV. A negative number means none.
--    1 pool, 2 tenant, 3 session
--    4 configured slots, 5 configured cap of each tenant
--    6 slots that were set, 7 slots of a ramp step
--    8 cap of each tenant, 9 the tenant's own cap
--   10 average hold (ms)
--   11 waiters ahead in the tenant's queue, 12 tenant queues ahead
--   13 "1" to keep the call off the fast path
--   then for each lease: its id, its fence, how long it has been held (ms)
local call, pack = redis.call, cmsgpack.pack
local pool, tenant, session = ARGV[1], ARGV[2], ARGV[3]
local n = {}
for i = 4, 13 do n[i] = tonumber(ARGV[i]) end
local allowed = n[7] >= 0 and math.min(n[6], n[7]) or n[6]
local waiting = n[11] + n[12]
local held, leases = 0, 0
call('DEL', unpack(KEYS, 2))
local now, _, fence, ticket, recovering_until, _, _, _, identity = struct.unpack('<dddddddds', call('HGET', KEYS[1], 'store 2'))
for i = 14, #ARGV, 3 do
  held, leases = held + 1, leases + 1
  call('HSET', KEYS[2], ARGV[i], struct.pack('<dddddsssssd', now - tonumber(ARGV[i + 2]), tonumber(ARGV[i + 1]), 0, 0, 0, session, tenant,
    '', 'request', pool, 1))
  call('HINCRBY', KEYS[4], pool .. '\1' .. tenant, 1)
  call('ZADD', KEYS[9], 0, session .. '\1' .. ARGV[i])
end
-- No slot is free while a request waits.
if waiting > 0 then held = allowed end
local shares = 0
if n[9] >= 0 then
  call('HSET', KEYS[8], pool .. '\1' .. tenant, pack(n[9], 1))
  shares = 1
elseif ARGV[13] == '1' then
  call('HSET', KEYS[8], pool .. '\1somebody else', pack(1, 1))
  shares = 1
end
if n[11] > 0 then
  local first = struct.pack('<ddddssd', 1, 0, 1, n[11] - 1, 'first', pool, 1)
  call('HSET', KEYS[5], pool .. '\1' .. tenant, first)
end
call('HSET', KEYS[1], 'p\1' .. pool, struct.pack('<dddddddddddd', allowed, n[8], 1, 1, 0, n[10], held, 0, waiting, shares, allowed, 0),
  'c\1' .. pool, pack(n[4], n[5], n[6], n[7]), 'sets', pack(n[12] > 0 and { [pool] = n[12] } or {}),
  'store 2', struct.pack('<dddddddds', now, 1e15, fence, ticket, 0, waiting, leases, math.huge, identity))
return 1
