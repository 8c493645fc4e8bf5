-- Keeps a session alive, even after its deadline: a slow holder that is alive keeps its leases. Opens the
-- session when it is new.
--
-- KEYS as in prologue.lua. ARGV from 9: the name of the process; n, the number of leases held; d, the number
-- of drains announced; then d pairs of a pool and the longest time that backend work on it may outlive this
-- process (ms); n pairs of lease and fence; the leases of the waiters.
--
-- Returns {"ok", {recovering, granted, lost, unknown, stop, forgotten}, {}}. Positions count from 1.
--   recovering  1 during the recovery grace period: the caller may register the leases in `unknown` again
--   granted     {fence, request} of leases of the session that the heartbeat did not name
--   lost        positions of named leases that are not the session's
--   unknown     positions of named leases that nobody holds
--   stop        positions of named leases whose holder is asked to stop
--   forgotten   positions of waiters that neither wait nor were granted
--
-- It reads all leases of the session: about 2 us each, so 2 to 3 ms for 256 held and 1,000 waiting. A digest
-- of them would cost each acquire and release one more command, and those are called far more often.
--
-- Keeps: no lease is registered here.
recover_state()
recover_lost_keys()
ensure_session(ARGV[9])
call('ZADD', DEADLINES, now + TTL, SELF)
sweep()

local PAGE = 1000

-- Calls `each` with the position of each of these leases, and its encoded entry or false.
local function each_lease(ids, each)
  for from = 1, #ids, PAGE do
    local entries = call('HMGET', LEASES, unpack(ids, from, math.min(from + PAGE - 1, #ids)))
    for i, entry in ipairs(entries) do each(from + i - 1, entry) end
  end
end

local n, drains = tonumber(ARGV[10]), tonumber(ARGV[11])
for i = 1, drains do raise_drain(ARGV[10 + 2 * i], tonumber(ARGV[11 + 2 * i])) end
local start = 11 + 2 * drains
local ids, fences, named = {}, {}, {}
for i = 1, n do
  ids[i], fences[i] = ARGV[start + 2 * i - 1], tonumber(ARGV[start + 2 * i])
end

local lost, unknown, stopping = {}, {}, {}
each_lease(ids, function(index, entry)
  if not entry then
    unknown[#unknown + 1] = index
    return
  end
  local _, number, drains, stop, _, session = read(LEASE, entry)
  if session == SELF and number == fences[index] and drains == 0 then
    named[ids[index]] = true
    if stop == 1 then stopping[#stopping + 1] = index end
  else
    lost[#lost + 1] = index
  end
end)

local ours, unnamed = {}, {}
for _, member in ipairs(call('ZRANGEBYLEX', MEMBERS, '[' .. SELF .. '\1', '(' .. SELF .. '\2')) do
  local id = string.sub(member, #SELF + 2)
  ours[id] = true
  if not named[id] then unnamed[#unnamed + 1] = id end
end
local granted = {}
each_lease(unnamed, function(_, entry)
  if entry then
    local l = lease_from(entry)
    granted[#granted + 1] = { l.fence, l.request }
  end
end)

local forgotten = {}
local before = start + 2 * n
for at = before + 1, #ARGV do
  if not ours[ARGV[at]] then forgotten[#forgotten + 1] = at - before end
end
-- `granted` has all of them already.
own_grants = {}
return finish({ store.recovering_until > 0 and 1 or 0, granted, lost, unknown, stopping, forgotten })
