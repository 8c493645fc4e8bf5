-- Keeps a session alive, whatever its deadline: a slow but live holder is not reclaimed. With nothing named it opens one.
--
-- KEYS as desk.lua. ARGV from 9: the process's name, the number n of leases held, the number d of drains announced; then d pairs
-- of a pool and the longest time that backend work on it may outlive this process, in ms; n pairs of lease and fence; the waiters,
-- one lease each.
--
-- Returns {"ok", {learning, granted, lost, unknown, stop, forgotten}, told}:
--   learning   1 while the store learns: then leases in `unknown` may be registered again
--   granted    {fence, request} of leases that the heartbeat did not name
--   lost       places (from 1) of named leases that are not the session's
--   unknown    places of named leases that nobody holds
--   stop       places of named leases whose holder is asked to stop
--   forgotten  places of waiters that are neither in line nor granted
--
-- It reads all that the session has: about 2 us for each name, so 2 to 3 ms for 256 held and 1,000 waiting. A digest of it
-- would have to be kept up by each acquire and release, with a command more in each; they are called far more often.
--
-- Keeps: nothing is registered here.
recover_state()
recover_lost_keys()
meet(ARGV[9])
call('ZADD', DEADLINES, now + TTL, SELF)
sweep()

local CHUNK = 1000

-- Calls `each` with the place of each lease with these ids, and its packed record or false.
local function each_lease(ids, each)
  for from = 1, #ids, CHUNK do
    local records = call('HMGET', LEASES, unpack(ids, from, math.min(from + CHUNK - 1, #ids)))
    for i, record in ipairs(records) do each(from + i - 1, record) end
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
each_lease(ids, function(place, record)
  if not record then
    unknown[#unknown + 1] = place
    return
  end
  local _, number, drains, stop, _, session = read(LEASE, record)
  if session == SELF and number == fences[place] and drains == 0 then
    named[ids[place]] = true
    if stop == 1 then stopping[#stopping + 1] = place end
  else
    lost[#lost + 1] = place
  end
end)

local ours, rest = {}, {}
for _, member in ipairs(call('ZRANGEBYLEX', MEMBERS, '[' .. SELF .. '\1', '(' .. SELF .. '\2')) do
  local id = string.sub(member, #SELF + 2)
  ours[id] = true
  if not named[id] then rest[#rest + 1] = id end
end
local granted = {}
each_lease(rest, function(_, record)
  if record then
    local l = lease_from(record)
    granted[#granted + 1] = { l.fence, l.request }
  end
end)

local forgotten = {}
local before = start + 2 * n
for at = before + 1, #ARGV do
  if not ours[ARGV[at]] then forgotten[#forgotten + 1] = at - before end
end
-- All of it was said above, as whatever was granted by this very call.
told = {}
return done({ store.learning > 0 and 1 or 0, granted, lost, unknown, stopping, forgotten })
