-- The easy part of acquire.lua: nobody waits, nothing is over or learned, the session is known. Takes requests from the front, for
-- as long as they want the likely pool alone, and fit; the first that does not, and all behind it, are asked in the general way.
--
-- KEYS, ARGV and what it returns: as acquire.lua.
--
-- Keeps: what acquire.lua keeps. What it leaves to the general way it has not changed.
local at, answers = 10, {}
if waiting == 0 and learning == 0 and now < due and raw[4] and #raw[4] == POOL_BYTES and raw[3] and string.sub(raw[3], 1, 1) == ARGV[7] then
  local slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused = read(POOL, raw[4])
  local name, last, members, n = string.sub(ARGV[8], 3), #ARGV, {}, 0
  while at <= last do
    local id, tenant, weight = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 7])
    if ARGV[at + 6] ~= name or ARGV[at + 5] ~= '1' or shares > 0 or open - held - draining < weight or n == 2000 then break end
    local use = name .. '\1' .. tenant
    if per_tenant >= 0 and (call('HGET', USES, use) or 0) + weight > per_tenant then break end
    local number = fence + 1
    if number < micros then number = micros end
    local record = pack(SELF, number, now, 0, 0, tonumber(ARGV[at + 2]), tenant, '', ARGV[at + 4], name, weight)
    -- Held already, or draining.
    if call('HSETNX', LEASES, id, record) == 0 then break end
    call('HINCRBY', USES, use, weight)
    members[n + 1], members[n + 2] = 0, SELF .. '\1' .. id
    n, fence, leases, held = n + 2, number, leases + 1, held + weight
    answers[#answers + 1] = number
    at = at + 8
  end
  if n > 0 then
    if held + draining > peak then peak = held + draining end
    changed = name
    changed_to = write(POOL, slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused)
    call('ZADD', MEMBERS, unpack(members))
    if at > last then
      call('HSET', STATE, ARGV[8], changed_to, 'store', write(STORE, now, real, fence, ticket, 0, 0, leases, due, identity))
      return { 'ok', answers }
    end
  end
end
