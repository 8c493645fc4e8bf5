-- Registers leases again, with their fences, after the store lost its state.
--
-- KEYS as in prologue.lua. ARGV from 9: the name of the process; then for each lease: lease, fence, tenant,
-- longest drain (ms), the request (opaque), its number of pools, and the name and weight of each of them,
-- sorted by name.
--
-- Returns {"ok", lost, own_grants}: the positions (from 1) of leases that were not registered, because
-- another session holds the lease by now, or the recovery grace period is over.
--
-- Keeps: nothing is registered in normal service. Registered leases may exceed the slots of a pool; grants
-- never do.
sweep()
ensure_session(ARGV[9])

local lost, index, at, highest = {}, 0, 10, 0
while at <= #ARGV do
  local id, fence, n = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 5])
  local l = { session = SELF, fence = fence, tenant = ARGV[at + 2], drain_for = tonumber(ARGV[at + 3]), request = ARGV[at + 4], needs = {} }
  for i = 1, 2 * n, 2 do
    l.needs[i], l.needs[i + 1] = ARGV[at + 5 + i], tonumber(ARGV[at + 6 + i])
  end
  at, index = at + 6 + 2 * n, index + 1
  local held = lease_of(id)
  if held or store.recovering_until == 0 then
    local ours = held and held.session == SELF and held.fence == fence and held.draining == 0
    if not ours then lost[#lost + 1] = index end
  else
    -- Another session may have requested this job while the store did not know that it was held.
    local w = queue().waiter_of(id)
    if w then queue().remove(id, w) end
    store.fence, highest = math.max(store.fence, fence), math.max(highest, fence)
    call('ZADD', MEMBERS, 0, SELF .. '\1' .. id)
    add_lease(id, l)
    queue().update_heads(l.tenant, l.needs)
  end
end
-- These leases were granted before the history starts.
local start = highest > 0 and call('LINDEX', HISTORY, 0)
if start then
  local _, number, since, serial = read(HISTORY_START, start)
  call('LSET', HISTORY, 0, write(HISTORY_START, 'b', math.max(number, highest), since, serial))
end
return finish(lost)
