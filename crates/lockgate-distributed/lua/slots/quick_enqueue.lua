-- Goes on where quick_acquire.lua is done: puts in line, in the order of line.lua, who wants the likely pool alone and finds no room,
-- while all who wait, wait for that pool. Takes requests from the front; the first that is not so, and all behind it, are asked in
-- the general way. An arrival without room changes nothing for others: nobody need be granted.
--
-- KEYS, ARGV and what it returns: as acquire.lua.
--
-- Keeps: what acquire.lua keeps. What it leaves to the general way it has not changed.
if easy and at <= last then
  local WAITERS, FIRSTS, BEHIND, HEADS = KEYS[3], KEYS[7], KEYS[8], KEYS[9]
  local lines, heads = 0, {}
  if waiting > 0 then
    local sets = raw[2] and unpacked(raw[2]) or {}
    easy, lines = sets[name] and not next(sets, next(sets)), sets[name]
  end
  while easy and at <= last do
    local id, tenant, weight = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 7])
    if ARGV[at + 6] ~= name or ARGV[at + 5] ~= '1' or weight > slots or per_tenant >= 0 and weight > per_tenant
      or open > 0 and weight > open or open - held - draining >= weight or n == 2000 then break end
    local line = name .. '\1' .. tenant
    local first = call('HGET', FIRSTS, line)
    local older, share, eligible, behind, lease, _, wants
    if first then older, share, eligible, behind, lease, _, wants = read(FIRST_OF_ONE, first) end
    -- Whether it may be refused, as `too_busy` of admission.lua says.
    local crowd, longest = first and behind + 1 or 0, tonumber(ARGV[at + 3])
    if hold >= 0 and (crowd + lines >= 2 * slots and floor(hold * (crowd + lines) / slots) > longest
      or per_tenant > 0 and crowd >= 2 * per_tenant and floor(hold * crowd / per_tenant) > longest) then break end
    -- Held already, draining, or waiting.
    if call('HGET', LEASES, id) then break end
    local record = write(WAITER_OF_ONE, ticket + 1, now, ARGV[at + 2], SELF, tenant, name, ARGV[at + 4], name, weight)
    if call('HSETNX', WAITERS, id, record) == 0 then break end
    ticket, waiting, waiters = ticket + 1, waiting + 1, waiters + 1
    if first then
      call('HSET', FIRSTS, line, write(FIRST_OF_ONE, older, share, eligible, behind + 1, lease, name, wants))
      call('ZADD', BEHIND, '0', string.format('%s\1%016d\1%s', line, ticket, id))
    else
      local used = tonumber(call('HGET', USES, line) or 0)
      local fits = (per_tenant < 0 or used + weight <= per_tenant) and 1 or 0
      local place = #heads
      heads[place + 1] = '0'
      heads[place + 2] = string.format('%s\1%s\1%016d\1%016d\1%s', name, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant)
      call('HSET', FIRSTS, line, write(FIRST_OF_ONE, ticket, used * 1000, fits, 0, id, name, weight))
      lines, sets_changed = lines + 1, true
    end
    members[n + 1], members[n + 2] = '0', SELF .. '\1' .. id
    n = n + 2
    answers[#answers + 1] = { 'q' }
    at = at + 8
  end
  if sets_changed then
    call('ZADD', HEADS, unpack(heads))
    raw[2] = pack({ [name] = lines })
  end
end
if n > 0 then
  if held + draining > peak then peak = held + draining end
  changed = name
  changed_to = write(POOL, slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused)
  call('ZADD', MEMBERS, unpack(members))
  if at > last then
    local text = write(STORE, now, real, fence, ticket, 0, waiting, leases, due, identity)
    if sets_changed then
      call('HSET', STATE, ARGV[8], changed_to, STORE_FIELD, text, 'sets', raw[2])
    else
      call('HSET', STATE, ARGV[8], changed_to, STORE_FIELD, text)
    end
    return { 'ok', answers, told }
  end
end
