-- Returns the members of `heads` that are not in the position which the usage and the cap of their tenant
-- give them. Only for tenant queues of one pool each, without shares of tenants. KEYS: state, leases,
-- waiters, uses, firsts, heads, behind, as counters.lua.
local wrong = {}
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[6], '-', '+')) do
  local pool, kind, share, ticket, tenant = string.match(member, '^([^\1]+)\1(.)\1(%d+)\1(%d+)\1(.*)$')
  local stranded = string.find(pool, '\2\3', 1, true)
  local name = stranded and string.sub(pool, 1, stranded - 1) or pool
  local queue = pool .. '\1' .. tenant
  local used = tonumber(redis.call('HGET', KEYS[4], name .. '\1' .. tenant) or 0)
  local cap = select(2, struct.unpack('<dd', redis.call('HGET', KEYS[1], 'p\1' .. name)))
  local since, stored_share, eligible, _, lease, _, weight = struct.unpack('<ddddssd', redis.call('HGET', KEYS[5], queue))
  -- A head that needs more than the cap stays eligible, until it is detected as stranded.
  local fits = cap < 0 or used + weight <= cap or weight > cap
  local right = tonumber(share) == used * 1000 and (kind == 'e') == fits and since == tonumber(ticket)
    and stored_share == used * 1000 and (eligible == 1) == fits and redis.call('HEXISTS', KEYS[3], lease) == 1
  if not right then wrong[#wrong + 1] = member end
end
return wrong
