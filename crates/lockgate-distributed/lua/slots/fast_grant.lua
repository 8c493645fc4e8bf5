-- Continues where fast_release.lua stopped: grants the slots that it freed, in the order of wait_queue.lua.
-- The order is simple when all waiters wait for one pool and no tenant has a share of its own. Stops at the
-- first waiter that it cannot grant this way; the general path continues there.
--
-- KEYS, ARGV and return value: as in release.lua.
--
-- Keeps: what grant.lua keeps.
if slots then
  local WAITERS, BEHIND = KEYS[3], KEYS[8]
  local from, to, before = '[' .. pool .. '\1e\1', '(' .. pool .. '\1e\2', #pool + 38
  local complete, session_read, listens = arg > last, nil, nil
  -- Collected, so that all grants of this call take one command for the waiters and one for the leases.
  local granted_ids, emptied, lease_entries = {}, {}, {}
  while complete and waiting > 0 and open - held - draining > 0 do
    local member = call('ZRANGEBYLEX', HEADS, from, to, 'LIMIT', 0, 1)[1]
    if not member then break end
    local queue_key = pool .. '\1' .. string.sub(member, before)
    local _, _, _, behind, lease, _, weight = read(HEAD_ONE_POOL, call('HGET', FIRSTS, queue_key))
    -- Only the general path moves stranded waiters.
    if weight > open or per_tenant >= 0 and weight > per_tenant then
      complete = false
      break
    end
    if open - held - draining < weight then break end
    if #granted_ids == 1000 then
      complete = false
      break
    end
    local _, _, drain_for, session, tenant, _, request = read(WAITER, call('HGET', WAITERS, lease))
    local number = fence + 1
    if number < micros then number = micros end
    if session == SELF then
      own_grants[#own_grants + 1] = { number, request, lease }
    else
      if session ~= session_read then
        local entry = call('HGET', STATE, 's\1' .. session)
        session_read, listens = session, entry and string.sub(entry, 1, 1) or '0'
      end
      -- A disconnected session cannot use slots; the general path removes its waiters.
      if listens == '2' or listens == '1' and call('PUBLISH', ARGV[6] .. session, string.format('g%d\1%s', number, request)) == 0 then
        complete = false
        break
      end
    end
    local n = #granted_ids
    granted_ids[n + 1], lease_entries[2 * n + 1] = lease, lease
    lease_entries[2 * n + 2] = write(LEASE_ONE_POOL, now, number, 0, 0, drain_for, session, tenant, '', request, pool, weight)
    local used = call('HINCRBY', USES, queue_key, weight == 1 and '1' or weight)
    fence, leases, held, waiting, waiters = number, leases + 1, held + weight, waiting - 1, waiters - 1
    call('ZREM', HEADS, member)
    if behind == 0 then
      emptied[#emptied + 1] = queue_key
      queues, sets_changed = queues - 1, true
    else
      local second = call('ZRANGEBYLEX', BEHIND, '[' .. queue_key .. '\1', '(' .. queue_key .. '\2', 'LIMIT', 0, 1)[1]
      call('ZREM', BEHIND, second)
      local ticket = tonumber(string.sub(second, #queue_key + 2, #queue_key + 17))
      local id = string.sub(second, #queue_key + 19)
      local _, _, _, _, _, _, _, _, wants = read(WAITER_ONE_POOL, call('HGET', WAITERS, id))
      local fits = (per_tenant < 0 or used + wants <= per_tenant or wants > per_tenant) and 1 or 0
      call('ZADD', HEADS, '0', string.format('%s\1%s\1%016d\1%016d\1%s', pool, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant))
      call('HSET', FIRSTS, queue_key, write(HEAD_ONE_POOL, ticket, used * 1000, fits, behind - 1, id, pool, wants))
    end
  end
  if #granted_ids > 0 then
    call('HDEL', WAITERS, unpack(granted_ids))
    call('HSET', LEASES, unpack(lease_entries))
    if #emptied > 0 then call('HDEL', FIRSTS, unpack(emptied)) end
  end
  if held + draining > peak then peak = held + draining end
  fast_pool = pool
  fast_entry = write(POOL, slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused)
  if sets_changed then raw[2] = pack(queues > 0 and { [pool] = queues } or {}) end
  if complete then
    if #history > 0 then
      local length = call('RPUSH', HISTORY, unpack(history))
      if length == #history then call('LPUSH', HISTORY, write(HISTORY_START, 'b', fence, server_ms, micros)) end
      if length > HISTORY_MAX then due = now end
    end
    local text = write(STORE, now, server_ms, fence, ticket, 0, waiting, leases, due, identity)
    if sets_changed then
      call('HSET', STATE, 'p\1' .. pool, fast_entry, STORE_FIELD, text, 'sets', raw[2])
    else
      call('HSET', STATE, 'p\1' .. pool, fast_entry, STORE_FIELD, text)
    end
    return { 'ok', answers, own_grants }
  end
end
