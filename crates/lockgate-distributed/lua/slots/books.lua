-- The books: pools and leases as the general way reads and writes them, and how a call ends.
--
-- Keeps: what a pool's record counts is the sum of its leases; `touched` names the pools that are to be written.
local WAITERS, DEADLINES, DRAINING = KEYS[3], KEYS[4], KEYS[5]

local store = { fence = fence, ticket = ticket, learning = learning, waiting = waiting, leases = leases, due = due, recovers = recovers }
-- The records of pools, as far as they were read; false: there is none.
local pools, touched = {}, {}
-- How many lines wait for each set of pools, when it was read; what tenants have in use, as far as it was read.
local sets
local uses = {}

local function pool_from(record)
  if not record then return false end
  local slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused = read(POOL, record)
  return { slots = slots, per_tenant = per_tenant, version = version, epoch = epoch, peak = peak, hold = hold, held = held,
    draining = draining, waiting = waiters, shares = shares, open = open, paused = paused }
end

-- A pool's record, or false. One with slots -1 was never made: leases of it were registered again after a loss.
local function pool_of(name)
  local p = pools[name]
  if p == nil then
    p = pool_from(call('HGET', STATE, 'p\1' .. name))
    pools[name] = p
  end
  return p
end

-- The numbers of a pool beside its record: slots and most of one tenant by the config, slots that were set, slots of a ramp step.
local function numbers_of(name)
  local numbers = call('HGET', STATE, 'c\1' .. name)
  if numbers then return unpacked(numbers) end
  local p = pool_of(name)
  return p.slots, p.per_tenant, p.slots, -1
end

if ARGV[8] ~= '' and not lost then pools[string.sub(ARGV[8], 3)] = pool_from(raw[4]) end
if changed then
  pools[changed] = pool_from(changed_to)
  touched[changed] = true
end

local function next_number()
  store.fence = math.max(store.fence + 1, micros)
  return store.fence
end

-- The needs {pool, weight, pool, weight ..} that stand in a record from a place on.
local function needs_from(record, place)
  local needs, n = {}, 0
  while place <= #record do
    needs[n + 1], needs[n + 2], place = read(NEED, record, place)
    n = n + 2
  end
  return needs
end

local function needs_text(needs)
  local texts = {}
  for i = 1, #needs, 2 do texts[#texts + 1] = write(NEED, needs[i], needs[i + 1]) end
  return table.concat(texts)
end

local function lease_from(record)
  local since, number, draining, stop, drain_for, session, tenant, process, request, place = read(LEASE, record)
  return { session = session, fence = number, since = since, draining = draining, stop = stop, drain_for = drain_for,
    tenant = tenant, process = process, request = request, needs = needs_from(record, place) }
end

-- A lease's record, or false.
local function lease_of(id)
  local record = call('HGET', LEASES, id)
  return record and lease_from(record)
end

local function write_lease(id, l)
  call('HSET', LEASES, id, write(LEASE, l.since, l.fence, l.draining, l.stop, l.drain_for, l.session, l.tenant, l.process, l.request)
    .. needs_text(l.needs))
end

-- What a tenant has in use of a pool.
local function used(name, tenant)
  local field = name .. '\1' .. tenant
  local n = uses[field]
  if not n then
    n = tonumber(call('HGET', USES, field) or 0)
    uses[field] = n
  end
  return n
end

local function use(name, tenant, weight)
  local field = name .. '\1' .. tenant
  local n = call('HINCRBY', USES, field, weight)
  if n <= 0 then call('HDEL', USES, field) end
  uses[field] = n
end

-- Adds a lease to the books. `l` has session, fence, drain_for, tenant, needs {pool, weight, pool, weight ..}, request.
local function hold(id, l)
  l.since, l.draining, l.stop, l.process = now, 0, 0, ''
  write_lease(id, l)
  store.leases = store.leases + 1
  local needs = l.needs
  for i = 1, #needs, 2 do
    local name, weight = needs[i], needs[i + 1]
    local p = pool_of(name)
    if not p then
      p = { slots = -1, per_tenant = -1, version = 0, epoch = 0, peak = 0, hold = -1, held = 0, draining = 0, waiting = 0, shares = 0,
        open = -1, paused = 0 }
      pools[name] = p
    end
    p.held = p.held + weight
    if p.held + p.draining > p.peak then p.peak = p.held + p.draining end
    touched[name] = p
    use(name, l.tenant, weight)
  end
end

-- What grant.lua is for: made when it is first needed.
local line
-- What loss.lua says of lost keys.
local damage = {}

-- Writes down what the call has changed, and answers.
local function done(answer)
  if ended and #ended > 0 then
    local length
    for from = 1, #ended, 1000 do
      local to = math.min(from + 999, #ended)
      length = call('RPUSH', RECORD, unpack(ended, from, to))
      -- It was deleted by hand: what was in it is lost.
      if length == to - from + 1 then call('LPUSH', RECORD, write(BEGUN, 'b', store.fence, real, micros)) end
    end
    -- The next call shortens it.
    if length > LONGEST then store.due = now end
  end
  local args = { STORE_FIELD, write(STORE, now, real, store.fence, store.ticket, store.learning, store.waiting, store.leases, store.due, ARGV[3]) }
  local n = 2
  if sets_changed then
    args[3], args[4] = 'sets', pack(line().sets())
    n = 4
  end
  for name in pairs(touched) do
    local p = pools[name]
    args[n + 1] = 'p\1' .. name
    args[n + 2] = write(POOL, p.slots, p.per_tenant, p.version, p.epoch, p.peak, p.hold, p.held, p.draining, p.waiting, p.shares,
      p.open, p.paused)
    n = n + 2
  end
  call('HSET', STATE, unpack(args))
  return { 'ok', answer, told, #damage > 0 and damage or nil }
end
