-- Detects lost keys, and recovers from a loss. This file stands between `books.lua` and `line.lua`.
--
-- Redis evicts whole keys, and operators delete them by hand. What is left then is not to be trusted, but what operators
-- have set is. A recovery forgets all leases, waiters and sessions; for one ttl nothing is granted, while holders register
-- again. A pool stays closed longer when backend work on it may outlive its process: until the longest drain that any process
-- has announced for it would have ended, since draining leases are forgotten as well.
--
-- Keeps: a loss of any key is detected by the next heartbeat, at the cost of a fixed number of commands.
local DRAINS, RECOVERY = 'drains', 'recovery'
-- Later than any deadline.
local NEVER = 1e15

-- Gives each key whose size nothing else tells a marker that stays in it, so that its loss shows even after other calls have
-- begun to fill it again.
local function mark_keys()
  call('ZADD', DEADLINES, NEVER, '')
  call('HSET', USES, '', 0)
  call('HSET', KEYS[11], '', '')
end

-- The names of keys that lost something; of keys that are compared with each other, all.
local function lost_keys()
  local names = {}
  local function expect(ok, name)
    if not ok then names[#names + 1] = name end
  end
  local lines = call('HLEN', KEYS[7])
  expect(call('HLEN', LEASES) == store.leases, 'leases')
  expect(call('HLEN', WAITERS) == store.waiting, 'waiters')
  expect(call('ZCARD', MEMBERS) + call('ZCARD', DRAINING) == store.leases + store.waiting, 'members or draining')
  expect(call('ZCARD', KEYS[9]) == lines and lines + call('ZCARD', KEYS[8]) == store.waiting, 'firsts, behind or heads')
  expect(call('ZRANGE', DEADLINES, -1, -1)[1] == '', 'deadlines')
  expect(call('HGET', USES, ''), 'uses')
  expect(call('HGET', KEYS[11], ''), 'shares')
  return names
end

-- How long backend work on pools may outlive its process, in ms, by the pool's name.
local function drains_of_pools()
  local record = call('HGET', STATE, DRAINS)
  return record and unpacked(record) or {}
end

-- Until when a pool stays closed because draining leases were forgotten; 0 when none were.
local function recovery_end(name, drains)
  local began, longest = call('HGET', STATE, RECOVERY), (drains or drains_of_pools())[name]
  return began and longest and began + longest or 0
end

-- Closes a pool until its recovery has ended. `end_pauses` of grant.lua opens it again.
local function close_for_recovery(name, drains)
  local p, over = pool_of(name), recovery_end(name, drains)
  if not p or p.slots < 0 or over <= now or over <= p.paused then return end
  local record = call('HGET', STATE, 'pauses')
  local pauses = record and unpacked(record) or {}
  p.open, p.paused, pauses[name] = 0, over, over
  touched[name] = p
  call('HSET', STATE, 'pauses', pack(pauses))
  store.due = math.min(store.due, over)
end

-- Notes how long backend work on a pool may outlive its process. It is never lowered: such work may still run.
local function raise_drain(name, longest)
  local drains = drains_of_pools()
  if longest <= (drains[name] or 0) then return end
  drains[name] = longest
  call('HSET', STATE, DRAINS, pack(drains))
  close_for_recovery(name, drains)
end

-- Closes the pools whose draining leases may have been lost just now.
local function begin_recovery()
  call('HSET', STATE, RECOVERY, now)
  local drains = drains_of_pools()
  for name in pairs(drains) do close_for_recovery(name, drains) end
end

local function forget_all(shares_are_lost)
  for _, field in ipairs(call('HKEYS', STATE)) do
    local kind, name = string.match(field, '^([ps])\1(.*)$')
    if kind == 'p' then
      local p = pool_of(name)
      p.held, p.draining, p.waiting = 0, 0, 0
      if shares_are_lost then p.shares = 0 end
      touched[name] = p
    elseif kind == 's' then
      call('HDEL', STATE, field)
    end
  end
  call('UNLINK', RECORD, unpack(KEYS, 2, 10))
  call('RPUSH', RECORD, write(BEGUN, 'b', store.fence, real, micros))
  raw[3] = false
  sets, sets_changed, store.leases, store.waiting, uses = {}, true, 0, 0, {}
end

-- Recovers when a key was lost.
local function recover_lost_keys()
  local names = lost_keys()
  if #names == 0 then return end
  for _, name in ipairs(names) do damage[#damage + 1] = name end
  forget_all(not call('HGET', KEYS[11], ''))
  mark_keys()
  store.learning = now + TTL
  store.due = math.min(store.due, store.learning)
  begin_recovery()
end

-- What the prologue has found: the state is lost, or another server's.
local function recover_state()
  if not store.recovers then return end
  store.recovers = false
  if lost then
    mark_keys()
    damage[1] = 'state'
  end
  begin_recovery()
end
