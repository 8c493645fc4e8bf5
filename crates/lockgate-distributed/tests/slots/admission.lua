-- Puts the store into the state of one vector: one pool, the waiters ahead, and leases that were held for some time. The clock stands
-- still, so that times are exact.
-- KEYS: state, leases, waiters, uses, firsts, heads, behind, shares, members. ARGV: pool, tenant, session, slots by the config, most of a
-- tenant by the config, slots set, slots of a ramp step, most of a tenant, own cap of the tenant, average hold, waiters ahead in its own
-- queue, queues ahead, "1" to keep the call out of the scripts' easy parts; then of each lease: its id, its fence, how long it was held.
-- Numbers below zero: none.
local call, pack = redis.call, cmsgpack.pack
local pool, tenant, session = ARGV[1], ARGV[2], ARGV[3]
local n = {}
for i = 4, 13 do n[i] = tonumber(ARGV[i]) end
local allowed = n[7] >= 0 and math.min(n[6], n[7]) or n[6]
local waiting = n[11] + n[12]
local held, leases = 0, 0
call('DEL', unpack(KEYS, 2))
local now, _, fence, ticket, learning, _, _, _, identity = struct.unpack('<dddddddds', call('HGET', KEYS[1], 'store 2'))
for i = 14, #ARGV, 3 do
  held, leases = held + 1, leases + 1
  call('HSET', KEYS[2], ARGV[i], struct.pack('<dddddsssssd', now - tonumber(ARGV[i + 2]), tonumber(ARGV[i + 1]), 0, 0, 0, session, tenant,
    '', 'request', pool, 1))
  call('HINCRBY', KEYS[4], pool .. '\1' .. tenant, 1)
  call('ZADD', KEYS[9], 0, session .. '\1' .. ARGV[i])
end
-- While anybody waits, no slot is free.
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
