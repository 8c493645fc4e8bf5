-- Registers leases again after the store lost its state, with their fences.
--
-- KEYS as desk.lua. ARGV from 9: the process's name; then of each lease: lease, fence, tenant, how long it may drain ms, the
-- request (opaque), its number of pools, and for each of them, sorted, its name and weight.
--
-- Returns {"ok", lost, told}: the places (from 1) of those that were not registered, since somebody has the lease by now, or the
-- store has learned enough.
--
-- Keeps: nothing is registered in normal service. Slots may be above the limit by it, never by a grant.
sweep()
meet(ARGV[9])

local lost, place, at, highest = {}, 0, 10, 0
while at <= #ARGV do
  local id, fence, n = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 5])
  local l = { session = SELF, fence = fence, tenant = ARGV[at + 2], drain_for = tonumber(ARGV[at + 3]), request = ARGV[at + 4], needs = {} }
  for i = 1, 2 * n, 2 do
    l.needs[i], l.needs[i + 1] = ARGV[at + 5 + i], tonumber(ARGV[at + 6 + i])
  end
  at, place = at + 6 + 2 * n, place + 1
  local held = lease_of(id)
  if held or store.learning == 0 then
    local ours = held and held.session == SELF and held.fence == fence and held.draining == 0
    if not ours then lost[#lost + 1] = place end
  else
    -- Somebody else may have asked for this job while nobody knew that it was held.
    local w = line().waiter_of(id)
    if w then line().leave(id, w) end
    store.fence, highest = math.max(store.fence, fence), math.max(highest, fence)
    call('ZADD', MEMBERS, 0, SELF .. '\1' .. id)
    hold(id, l)
    line().move(l.tenant, l.needs)
  end
end
-- They were granted before the record began.
local first = highest > 0 and call('LINDEX', RECORD, 0)
if first then
  local _, number, since, serial = read(BEGUN, first)
  call('LSET', RECORD, 0, write(BEGUN, 'b', math.max(number, highest), since, serial))
end
return done(lost)
