-- Goes on where quick_release.lua is done: grants what it freed, in the order of line.lua, which is simple when all wait for one pool
-- and no tenant has a share of its own. Stops at the first that it cannot grant so; the general way goes on from there.
--
-- KEYS, ARGV and what it returns: as release.lua.
--
-- Keeps: what grant.lua keeps.
if slots then
  local WAITERS, BEHIND = KEYS[3], KEYS[8]
  local from, to, before = '[' .. pool .. '\1e\1', '(' .. pool .. '\1e\2', #pool + 38
  local finished, heard, hears = at > last, nil, nil
  -- What goes, and what comes, in one command each when all is granted.
  local waited, emptied, granted = {}, {}, {}
  while finished and waiting > 0 and open - held - draining > 0 do
    local member = call('ZRANGEBYLEX', HEADS, from, to, 'LIMIT', 0, 1)[1]
    if not member then break end
    local line = pool .. '\1' .. string.sub(member, before)
    local _, _, _, behind, lease, _, weight = read(FIRST_OF_ONE, call('HGET', FIRSTS, line))
    -- Who is stranded goes out of the way in the general way.
    if weight > open or per_tenant >= 0 and weight > per_tenant then
      finished = false
      break
    end
    if open - held - draining < weight then break end
    if #waited == 1000 then
      finished = false
      break
    end
    local _, _, drain_for, session, tenant, _, request = read(WAITER, call('HGET', WAITERS, lease))
    local number = fence + 1
    if number < micros then number = micros end
    if session == SELF then
      told[#told + 1] = { number, request, lease }
    else
      if session ~= heard then
        local record = call('HGET', STATE, 's\1' .. session)
        heard, hears = session, record and string.sub(record, 1, 1) or '0'
      end
      -- Slots are not for the dead: the general way lets them go.
      if hears == '2' or hears == '1' and call('PUBLISH', ARGV[6] .. session, string.format('g%d\1%s', number, request)) == 0 then
        finished = false
        break
      end
    end
    local n = #waited
    waited[n + 1], granted[2 * n + 1] = lease, lease
    granted[2 * n + 2] = write(LEASE_OF_ONE, now, number, 0, 0, drain_for, session, tenant, '', request, pool, weight)
    local used = call('HINCRBY', USES, line, weight == 1 and '1' or weight)
    fence, leases, held, waiting, waiters = number, leases + 1, held + weight, waiting - 1, waiters - 1
    call('ZREM', HEADS, member)
    if behind == 0 then
      emptied[#emptied + 1] = line
      lines, sets_changed = lines - 1, true
    else
      local second = call('ZRANGEBYLEX', BEHIND, '[' .. line .. '\1', '(' .. line .. '\2', 'LIMIT', 0, 1)[1]
      call('ZREM', BEHIND, second)
      local ticket = tonumber(string.sub(second, #line + 2, #line + 17))
      local id = string.sub(second, #line + 19)
      local _, _, _, _, _, _, _, _, wants = read(WAITER_OF_ONE, call('HGET', WAITERS, id))
      local fits = (per_tenant < 0 or used + wants <= per_tenant or wants > per_tenant) and 1 or 0
      call('ZADD', HEADS, '0', string.format('%s\1%s\1%016d\1%016d\1%s', pool, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant))
      call('HSET', FIRSTS, line, write(FIRST_OF_ONE, ticket, used * 1000, fits, behind - 1, id, pool, wants))
    end
  end
  if #waited > 0 then
    call('HDEL', WAITERS, unpack(waited))
    call('HSET', LEASES, unpack(granted))
    if #emptied > 0 then call('HDEL', FIRSTS, unpack(emptied)) end
  end
  if held + draining > peak then peak = held + draining end
  changed = pool
  changed_to = write(POOL, slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused)
  if sets_changed then raw[2] = pack(lines > 0 and { [pool] = lines } or {}) end
  if finished then
    if #ended > 0 then
      local length = call('RPUSH', RECORD, unpack(ended))
      if length == #ended then call('LPUSH', RECORD, write(BEGUN, 'b', fence, real, micros)) end
      if length > LONGEST then due = now end
    end
    local text = write(STORE, now, real, fence, ticket, 0, waiting, leases, due, identity)
    if sets_changed then
      call('HSET', STATE, 'p\1' .. pool, changed_to, STORE_FIELD, text, 'sets', raw[2])
    else
      call('HSET', STATE, 'p\1' .. pool, changed_to, STORE_FIELD, text)
    end
    return { 'ok', answers, told }
  end
end
