-- Detects lost keys, and recovers from a loss.
--
-- Redis evicts whole keys, and operators delete them by hand. The remaining keys cannot be trusted then,
-- except for what operators have set. A recovery forgets all leases, waiters and sessions. For one ttl
-- nothing is granted, while holders register their leases again. Draining leases are forgotten as well, so a
-- pool whose backend work may outlive its process stays closed longer: until the longest drain that any
-- process has announced for it would have ended.
--
-- Keeps: the next heartbeat detects the loss of any key, at the cost of a fixed number of commands.
local DRAINS, RECOVERY = 'drains', 'recovery'
-- Later than any deadline.
local NEVER = 1e15

-- Adds a marker to each key whose size cannot be checked against other keys. A lost marker shows a loss even
-- after other calls have begun to fill the key again.
local function add_markers()
  call('ZADD', DEADLINES, NEVER, '')
  call('HSET', USES, '', 0)
  call('HSET', KEYS[11], '', '')
end

-- Returns the names of lost keys. Keys that are checked against each other are reported together.
local function lost_keys()
  local names = {}
  local function expect(ok, name)
    if not ok then names[#names + 1] = name end
  end
  local queues = call('HLEN', KEYS[7])
  expect(call('HLEN', LEASES) == store.leases, 'leases')
  expect(call('HLEN', WAITERS) == store.waiting, 'waiters')
  expect(call('ZCARD', MEMBERS) + call('ZCARD', DRAINING) == store.leases + store.waiting, 'members or draining')
  expect(call('ZCARD', KEYS[9]) == queues and queues + call('ZCARD', KEYS[8]) == store.waiting, 'firsts, behind or heads')
  expect(call('ZRANGE', DEADLINES, -1, -1)[1] == '', 'deadlines')
  expect(call('HGET', USES, ''), 'uses')
  expect(call('HGET', KEYS[11], ''), 'shares')
  return names
end

-- Returns how long backend work may outlive its process (ms), by pool.
local function drains_of_pools()
  local entry = call('HGET', STATE, DRAINS)
  return entry and unpacked(entry) or {}
end

-- Returns until when a pool stays closed because draining leases were forgotten; 0 when none were.
local function recovery_end(name, drains)
  local began, longest = call('HGET', STATE, RECOVERY), (drains or drains_of_pools())[name]
  return began and longest and began + longest or 0
end

-- Closes a pool until its recovery ends. `end_pauses` of expiry.lua opens it again.
local function close_for_recovery(name, drains)
  local p, over = pool_of(name), recovery_end(name, drains)
  if not p or p.slots < 0 or over <= now or over <= p.paused then return end
  local entry = call('HGET', STATE, 'pauses')
  local pauses = entry and unpacked(entry) or {}
  p.open, p.paused, pauses[name] = 0, over, over
  touched[name] = p
  call('HSET', STATE, 'pauses', pack(pauses))
  store.due = math.min(store.due, over)
end

-- Raises how long backend work on a pool may outlive its process (ms). It is never lowered, since earlier
-- work may still run.
local function raise_drain(name, longest)
  local drains = drains_of_pools()
  if longest <= (drains[name] or 0) then return end
  drains[name] = longest
  call('HSET', STATE, DRAINS, pack(drains))
  close_for_recovery(name, drains)
end

-- Closes the pools whose draining leases may have been lost.
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
  call('UNLINK', HISTORY, unpack(KEYS, 2, 10))
  call('RPUSH', HISTORY, write(HISTORY_START, 'b', store.fence, server_ms, micros))
  raw[3] = false
  sets, sets_changed, store.leases, store.waiting, usage = {}, true, 0, 0, {}
end

-- Checks for lost keys, and recovers when there are any.
local function recover_lost_keys()
  local names = lost_keys()
  if #names == 0 then return end
  for _, name in ipairs(names) do lost_keys_found[#lost_keys_found + 1] = name end
  forget_all(not call('HGET', KEYS[11], ''))
  add_markers()
  store.recovering_until = now + TTL
  store.due = math.min(store.due, store.recovering_until)
  begin_recovery()
end

-- Recovers when the prologue has found that the state is lost, or another server's.
local function recover_state()
  if not store.starts_recovery then return end
  store.starts_recovery = false
  if state_lost then
    add_markers()
    lost_keys_found[1] = 'state'
  end
  begin_recovery()
end
