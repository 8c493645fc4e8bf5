-- The desk: what each operation begins and ends with. Every script is this file, `line.lua`, `grant.lua`, and one
-- operation; before it, `session.lua` when a session calls, `pool.lua` when it is about pools.
--
-- KEYS, all with the hash tag of the namespace, none with an expiry of Redis; times are virtual ms, "\1" and "\2" separate
-- (no name holds a control character), records are packed with cmsgpack:
--   1 state      HASH  "store" -> the store's own record, "sets" -> {set of pools = lines that wait for it},
--                      "p" \1 pool -> the pool's record
--   2 leases     HASH  lease -> its record, draining ones included
--   3 waiters    HASH  lease -> its record
--   4 sessions   HASH  session -> its record
--   5 deadlines  ZSET  session by the time when it is dead
--   6 draining   ZSET  lease by the time when it has drained
--   7 members    ZSET  session \1 lease, score 0: what a session holds (draining left out) and waits for
--   8 firsts     HASH  set \1 tenant -> the first of that line
--   9 behind     ZSET  set \1 tenant \1 ticket \1 lease, score 0: who stands behind the first
--  10 heads      ZSET  set \1 e|p \1 share \1 ticket \1 tenant, score 0: the firsts in their order; e: eligible, p: passed
--                      over, its tenant being at its cap
--  11 uses       HASH  pool \1 tenant -> slots in use
--  12 shares     HASH  pool \1 tenant -> its own cap (-1: none) and weight
--
-- ARGV, of each operation: 1 ttl ms, 2 longest step of the clock ms, 3 who the server is (run id and replication id),
-- 4 "1" when the caller has just read that again, 5 the session (or ""), 6 the channel of a session without its id,
-- 7 "1" when the session listens. The operation's own begin at 8.
--
-- Returns {"identity"}, with nothing changed, when the state is another server's and 4 is "0"; else what the operation says.
--
-- Keeps: the clock neither leaps nor goes back; numbers never go back; after a loss nothing is granted for one ttl.
local STATE, LEASES, WAITERS, SESSIONS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local DEADLINES, DRAINING, MEMBERS = KEYS[5], KEYS[6], KEYS[7]
local call, floor, pack, unpacked = redis.call, math.floor, cmsgpack.pack, cmsgpack.unpack
local TTL, CAP, SELF = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[5]

local store, sets, sets_changed, now, micros
local pools, touched = {}, {}
-- Grants to the caller's own session: told in the answer, not pushed.
local told = {}

-- A pool's record, or false. One with slots -1 was never made: leases of it were registered again after a loss.
local function pool_of(name, raw)
  local p = pools[name]
  if p == nil then
    if raw == nil then raw = call('HGET', STATE, 'p\1' .. name) end
    p = false
    if raw then
      p = { slots = 0, per_tenant = 0, version = 0, epoch = 0, peak = 0, hold = 0, held = 0, draining = 0, waiting = 0, shares = 0 }
      p.slots, p.per_tenant, p.version, p.epoch, p.peak, p.hold, p.held, p.draining, p.waiting, p.shares = unpacked(raw)
    end
    pools[name] = p
  end
  return p
end

local function next_number()
  store.fence = math.max(store.fence + 1, micros)
  return store.fence
end

-- A lease's record, or false.
local function lease_of(id, raw)
  if raw == nil then raw = call('HGET', LEASES, id) end
  if not raw then return false end
  local l = { session = 0, fence = 0, since = 0, draining = 0, stop = 0, drain_for = 0, tenant = 0, process = 0, needs = 0, request = 0 }
  l.session, l.fence, l.since, l.draining, l.stop, l.drain_for, l.tenant, l.process, l.needs, l.request = unpacked(raw)
  return l
end

local function write_lease(id, l)
  call('HSET', LEASES, id,
    pack(l.session, l.fence, l.since, l.draining, l.stop, l.drain_for, l.tenant, l.process, l.needs, l.request))
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
      p = { slots = -1, per_tenant = -1, version = 0, epoch = 0, peak = 0, hold = -1, held = 0, draining = 0, waiting = 0, shares = 0 }
      pools[name] = p
    end
    p.held = p.held + weight
    if p.held + p.draining > p.peak then p.peak = p.held + p.draining end
    touched[name] = true
    call('HINCRBY', KEYS[11], name .. '\1' .. l.tenant, weight)
  end
end

-- Writes down what the call has changed, and answers.
local function done(answer)
  local args = { 'store', pack(store.clock, store.real, store.fence, store.ticket, store.learning, store.identity,
    store.waiting, store.leases, store.due) }
  local n = 2
  if sets_changed then
    args[3], args[4] = 'sets', pack(sets)
    n = 4
  end
  for name in pairs(touched) do
    local p = pools[name]
    args[n + 1] = 'p\1' .. name
    args[n + 2] = pack(p.slots, p.per_tenant, p.version, p.epoch, p.peak, p.hold, p.held, p.draining, p.waiting, p.shares)
    n = n + 2
  end
  call('HSET', STATE, unpack(args))
  return { 'ok', answer, told }
end

-- What grant.lua is for: made when it is first needed.
local line

-- Reads the store's record and these pools, moves the clock, and ends what is over (unless that is to be done later). Answers
-- what to return at once, or nothing.
local function open(names, sweep_later)
  local raw = call('HMGET', STATE, 'store', unpack(names))
  local time = call('TIME')
  local seconds, rest = tonumber(time[1]), tonumber(time[2])
  local real = seconds * 1000 + floor(rest / 1000)
  micros = seconds * 1000000 + rest
  store = { clock = 0, real = 0, fence = 0, ticket = 0, learning = 0, identity = '', waiting = 0, leases = 0, due = 0 }
  if not raw[1] then
    -- The state is lost, or was never there: whatever is left of it would be a part of the truth.
    call('UNLINK', unpack(KEYS))
    store.clock, store.real, store.identity, store.due, store.learning = real, real, ARGV[3], math.huge, -1
  else
    store.clock, store.real, store.fence, store.ticket, store.learning, store.identity, store.waiting, store.leases, store.due = unpacked(raw[1])
    for i = 1, #names do pool_of(string.sub(names[i], 3), raw[i + 1]) end
  end
  if store.identity ~= ARGV[3] then
    if ARGV[4] ~= '1' then return { 'identity' } end
    -- Another server, or this one started again: what it has may be older than what was granted.
    store.identity, store.learning = ARGV[3], -1
  end
  store.clock = store.clock + math.max(0, math.min(real - store.real, CAP))
  store.real, now = real, store.clock
  if store.learning < 0 then
    -- From now on nothing is granted for one ttl, while holders register again.
    store.learning = now + TTL
    store.due = math.min(store.due, store.learning)
  end
  if now >= store.due and not sweep_later then line().sweep() end
end
