-- Pools and leases as the general path reads and writes them, and the end of a call.
--
-- Keeps: the counters of a pool are the sums of its leases. `touched` names the pools to write at the end.
local WAITERS, DEADLINES, DRAINING = KEYS[3], KEYS[4], KEYS[5]

local store = { fence = fence, ticket = ticket, recovering_until = recovering_until, waiting = waiting, leases = leases, due = due, starts_recovery = starts_recovery }
-- Pools by name, as far as they were read; false when there is none.
local pools, touched = {}, {}
-- The number of tenant queues by set of pools, once it was read; and the slots that tenants have in use, as
-- far as they were read.
local sets
local usage = {}

local function pool_from(entry)
  if not entry then return false end
  local slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused = read(POOL, entry)
  return { slots = slots, per_tenant = per_tenant, version = version, epoch = epoch, peak = peak, average_hold = average_hold, held = held,
    draining = draining, waiting = waiters, shares = shares, open = open, paused = paused }
end

-- Returns a pool, or false. A pool with slots -1 was not created yet: leases of it were registered again
-- after a loss.
local function pool_of(name)
  local p = pools[name]
  if p == nil then
    p = pool_from(call('HGET', STATE, 'p\1' .. name))
    pools[name] = p
  end
  return p
end

-- Returns the stored numbers of a pool: configured slots, configured cap of each tenant (-1: none), slots
-- that were set, slots of a ramp step (-1: no ramp).
local function numbers_of(name)
  local numbers = call('HGET', STATE, 'c\1' .. name)
  if numbers then return unpacked(numbers) end
  local p = pool_of(name)
  return p.slots, p.per_tenant, p.slots, -1
end

if ARGV[8] ~= '' and not state_lost then pools[string.sub(ARGV[8], 3)] = pool_from(raw[4]) end
if fast_pool then
  pools[fast_pool] = pool_from(fast_entry)
  touched[fast_pool] = true
end

local function next_number()
  store.fence = math.max(store.fence + 1, micros)
  return store.fence
end

-- Decodes the needs {pool, weight, pool, weight ..} of an entry, from this offset to its end.
local function needs_from(entry, offset)
  local needs, n = {}, 0
  while offset <= #entry do
    needs[n + 1], needs[n + 2], offset = read(NEED, entry, offset)
    n = n + 2
  end
  return needs
end

local function needs_text(needs)
  local texts = {}
  for i = 1, #needs, 2 do texts[#texts + 1] = write(NEED, needs[i], needs[i + 1]) end
  return table.concat(texts)
end

local function lease_from(entry)
  local since, number, draining, stop, drain_for, session, tenant, process, request, offset = read(LEASE, entry)
  return { session = session, fence = number, since = since, draining = draining, stop = stop, drain_for = drain_for,
    tenant = tenant, process = process, request = request, needs = needs_from(entry, offset) }
end

-- Returns a lease, or false.
local function lease_of(id)
  local entry = call('HGET', LEASES, id)
  return entry and lease_from(entry)
end

local function write_lease(id, l)
  call('HSET', LEASES, id, write(LEASE, l.since, l.fence, l.draining, l.stop, l.drain_for, l.session, l.tenant, l.process, l.request)
    .. needs_text(l.needs))
end

-- Returns the slots that a tenant has in use of a pool.
local function usage_of(name, tenant)
  local field = name .. '\1' .. tenant
  local n = usage[field]
  if not n then
    n = tonumber(call('HGET', USES, field) or 0)
    usage[field] = n
  end
  return n
end

local function add_usage(name, tenant, weight)
  local field = name .. '\1' .. tenant
  local n = call('HINCRBY', USES, field, weight)
  if n <= 0 then call('HDEL', USES, field) end
  usage[field] = n
end

-- Adds a lease. `l` has session, fence, drain_for, tenant, needs {pool, weight, pool, weight ..}, request.
local function add_lease(id, l)
  l.since, l.draining, l.stop, l.process = now, 0, 0, ''
  write_lease(id, l)
  store.leases = store.leases + 1
  local needs = l.needs
  for i = 1, #needs, 2 do
    local name, weight = needs[i], needs[i + 1]
    local p = pool_of(name)
    if not p then
      p = { slots = -1, per_tenant = -1, version = 0, epoch = 0, peak = 0, average_hold = -1, held = 0, draining = 0, waiting = 0, shares = 0,
        open = -1, paused = 0 }
      pools[name] = p
    end
    p.held = p.held + weight
    if p.held + p.draining > p.peak then p.peak = p.held + p.draining end
    touched[name] = p
    add_usage(name, l.tenant, weight)
  end
end

-- Returns the wait queue, see expiry.lua.
local queue
-- Names of lost keys, see recovery.lua.
local lost_keys_found = {}

-- Writes what the call has changed, and returns the reply.
local function finish(answer)
  if history and #history > 0 then
    local length
    for from = 1, #history, 1000 do
      local to = math.min(from + 999, #history)
      length = call('RPUSH', HISTORY, unpack(history, from, to))
      -- The history was deleted by hand, and its entries are lost.
      if length == to - from + 1 then call('LPUSH', HISTORY, write(HISTORY_START, 'b', store.fence, server_ms, micros)) end
    end
    -- The sweep of the next call shortens it.
    if length > HISTORY_MAX then store.due = now end
  end
  local args = { STORE_FIELD, write(STORE, now, server_ms, store.fence, store.ticket, store.recovering_until, store.waiting, store.leases, store.due, ARGV[3]) }
  local n = 2
  if sets_changed then
    args[3], args[4] = 'sets', pack(queue().sets())
    n = 4
  end
  for name in pairs(touched) do
    local p = pools[name]
    args[n + 1] = 'p\1' .. name
    args[n + 2] = write(POOL, p.slots, p.per_tenant, p.version, p.epoch, p.peak, p.average_hold, p.held, p.draining, p.waiting, p.shares,
      p.open, p.paused)
    n = n + 2
  end
  call('HSET', STATE, unpack(args))
  return { 'ok', answer, own_grants, #lost_keys_found > 0 and lost_keys_found or nil }
end
