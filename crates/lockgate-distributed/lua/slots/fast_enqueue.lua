-- Continues where fast_acquire.lua stopped, while all waiters wait for the likely pool. Queues requests that
-- want this pool alone and do not fit, in the order of wait_queue.lua. Takes requests from the front; the
-- first that does not qualify, and all after it, take the general path. A request that does not fit changes
-- nothing for other waiters, so nothing need be granted.
--
-- KEYS, ARGV and return value: as in acquire.lua.
--
-- Keeps: what acquire.lua keeps. It changes nothing of what it leaves to the general path.
if fast and arg <= last then
  local WAITERS, FIRSTS, BEHIND, HEADS = KEYS[3], KEYS[7], KEYS[8], KEYS[9]
  local queues, heads = 0, {}
  if waiting > 0 then
    local sets = raw[2] and unpacked(raw[2]) or {}
    fast, queues = sets[name] and not next(sets, next(sets)), sets[name]
  end
  while fast and arg <= last do
    local id, tenant, weight = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 7])
    if ARGV[arg + 6] ~= name or ARGV[arg + 5] ~= '1' or weight > slots or per_tenant >= 0 and weight > per_tenant
      or open > 0 and weight > open or open - held - draining >= weight or n == 2000 then break end
    local queue_key = name .. '\1' .. tenant
    local head = call('HGET', FIRSTS, queue_key)
    local older, share, eligible, behind, lease, _, wants
    if head then older, share, eligible, behind, lease, _, wants = read(HEAD_ONE_POOL, head) end
    -- Whether the request may be refused, see `too_busy` of admission.lua.
    local queue_length, longest = head and behind + 1 or 0, tonumber(ARGV[arg + 3])
    if average_hold >= 0 and (queue_length + queues >= 2 * slots and floor(average_hold * (queue_length + queues) / slots) > longest
      or per_tenant > 0 and queue_length >= 2 * per_tenant and floor(average_hold * queue_length / per_tenant) > longest) then break end
    -- The lease is held already, drains, or is waited for.
    if call('HGET', LEASES, id) then break end
    local entry = write(WAITER_ONE_POOL, ticket + 1, now, ARGV[arg + 2], SELF, tenant, name, ARGV[arg + 4], name, weight)
    if call('HSETNX', WAITERS, id, entry) == 0 then break end
    ticket, waiting, waiters = ticket + 1, waiting + 1, waiters + 1
    if head then
      call('HSET', FIRSTS, queue_key, write(HEAD_ONE_POOL, older, share, eligible, behind + 1, lease, name, wants))
      call('ZADD', BEHIND, '0', string.format('%s\1%016d\1%s', queue_key, ticket, id))
    else
      local used = tonumber(call('HGET', USES, queue_key) or 0)
      local fits = (per_tenant < 0 or used + weight <= per_tenant) and 1 or 0
      local n_heads = #heads
      heads[n_heads + 1] = '0'
      heads[n_heads + 2] = string.format('%s\1%s\1%016d\1%016d\1%s', name, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant)
      call('HSET', FIRSTS, queue_key, write(HEAD_ONE_POOL, ticket, used * 1000, fits, 0, id, name, weight))
      queues, sets_changed = queues + 1, true
    end
    members[n + 1], members[n + 2] = '0', SELF .. '\1' .. id
    n = n + 2
    answers[#answers + 1] = { 'q' }
    arg = arg + 8
  end
  if sets_changed then
    call('ZADD', HEADS, unpack(heads))
    raw[2] = pack({ [name] = queues })
  end
end
if n > 0 then
  if held + draining > peak then peak = held + draining end
  fast_pool = name
  fast_entry = write(POOL, slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused)
  call('ZADD', MEMBERS, unpack(members))
  if arg > last then
    local text = write(STORE, now, server_ms, fence, ticket, 0, waiting, leases, due, identity)
    if sets_changed then
      call('HSET', STATE, ARGV[8], fast_entry, STORE_FIELD, text, 'sets', raw[2])
    else
      call('HSET', STATE, ARGV[8], fast_entry, STORE_FIELD, text)
    end
    return { 'ok', answers, own_grants }
  end
end
