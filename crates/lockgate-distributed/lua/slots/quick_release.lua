-- The easy part of release.lua: nobody waits, nothing is over or learned. Takes releases from the front, for as long as they free
-- what the session holds of one pool alone; the first that does not, and all behind it, are done in the general way.
--
-- KEYS, ARGV and what it returns: as release.lua.
--
-- Keeps: what release.lua keeps. What it leaves to the general way it has not changed.
local at, answers = 9, {}
if waiting == 0 and learning == 0 and now < due then
  local slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares
  local pool, last, members = nil, #ARGV, {}
  while at <= last do
    if ARGV[at] ~= 'f' or #members == 1000 then break end
    local id = ARGV[at + 1]
    local record = call('HGET', LEASES, id)
    local session, number, since, drains, _, _, tenant, _, _, name, weight, more
    if record then session, number, since, drains, _, _, tenant, _, _, name, weight, more = unpacked(record) end
    if number and number == tonumber(ARGV[at + 2]) then
      if session ~= SELF or drains > 0 or more then break end
      if not pool then
        local text = raw[4]
        if ARGV[8] ~= 'p\1' .. name then text = call('HGET', STATE, 'p\1' .. name) end
        pool = name
        slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares = read(POOL, text)
      elseif pool ~= name then
        break
      end
      call('HDEL', LEASES, id)
      local use = name .. '\1' .. tenant
      if call('HINCRBY', USES, use, -weight) <= 0 then call('HDEL', USES, use) end
      members[#members + 1] = SELF .. '\1' .. id
      leases, held = leases - 1, held - weight
      hold = hold < 0 and now - since or floor((hold * 7 + now - since) / 8)
      answers[#answers + 1] = 1
    else
      answers[#answers + 1] = 0
    end
    at = at + 4
  end
  if #members > 0 then
    changed, changed_to = pool, write(POOL, slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares)
    call('ZREM', MEMBERS, unpack(members))
    if at > last then
      call('HSET', STATE, 'p\1' .. pool, changed_to, 'store', write(STORE, now, real, fence, ticket, 0, 0, leases, due, identity))
      return { 'ok', answers }
    end
  end
end
