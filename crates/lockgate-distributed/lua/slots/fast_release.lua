-- The fast path of release.lua: nothing has expired, the store is not recovering, and all waiters wait for
-- one pool. Takes releases from the front, as long as they free leases of the session in that pool alone. The
-- first that does not qualify, and all after it, take the general path. `fast_grant.lua` follows, and grants
-- what was freed.
--
-- KEYS, ARGV and return value: as in release.lua.
--
-- Keeps: what release.lua keeps. It changes nothing of what it leaves to the general path.
local arg, answers, last, members = 9, {}, #ARGV, {}
local FIRSTS, HEADS = KEYS[7], KEYS[9]
local pool, queues, slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused
history = {}
local fast = recovering_until == 0 and now < due
if fast and waiting > 0 then
  local sets = raw[2] and unpacked(raw[2]) or {}
  pool, queues = next(sets)
  fast = pool and not next(sets, pool) and not string.find(pool, '\2', 1, true)
end
while fast and arg <= last and ARGV[arg] == 'f' and #members < 1000 do
  local id = ARGV[arg + 1]
  local entry = call('HGET', LEASES, id)
  local since, number, drains, _, session, tenant, name, weight, offset
  if entry then since, number, drains, _, _, session, tenant, _, _, offset = read(LEASE, entry) end
  if number and number == tonumber(ARGV[arg + 2]) then
    if session ~= SELF or drains > 0 or offset > #entry then break end
    name, weight, offset = read(NEED, entry, offset)
    if offset <= #entry or pool and pool ~= name then break end
    if not slots then
      local text = raw[4]
      if ARGV[8] ~= 'p\1' .. name then text = call('HGET', STATE, 'p\1' .. name) end
      if not text then break end
      pool = name
      slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused = read(POOL, text)
    end
    if waiting > 0 and shares > 0 then break end
    call('HDEL', LEASES, id)
    history[#history + 1] = write(HOLD_ENTRY_ONE_POOL, 'h', fence, server_ms, number, id, 'released', name, weight)
    local queue_key = name .. '\1' .. tenant
    local used = call('HINCRBY', USES, queue_key, weight == 1 and '-1' or -weight)
    if used <= 0 then call('HDEL', USES, queue_key) end
    members[#members + 1] = SELF .. '\1' .. id
    leases, held = leases - 1, held - weight
    average_hold = average_hold < 0 and now - since or floor((average_hold * 7 + now - since) / 8)
    answers[#answers + 1] = 1
    -- The tenant has less in use now, so the head of its queue moves forward.
    entry = waiting > 0 and call('HGET', FIRSTS, queue_key)
    if entry then
      local ticket, share, eligible, behind, lease, _, wants = read(HEAD_ONE_POOL, entry)
      local fits = (per_tenant < 0 or used + wants <= per_tenant or wants > per_tenant) and 1 or 0
      call('ZREM', HEADS, string.format('%s\1%s\1%016d\1%016d\1%s', name, eligible == 1 and 'e' or 'p', share, ticket, tenant))
      call('ZADD', HEADS, '0', string.format('%s\1%s\1%016d\1%016d\1%s', name, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant))
      call('HSET', FIRSTS, queue_key, write(HEAD_ONE_POOL, ticket, used * 1000, fits, behind, lease, name, wants))
    end
  else
    answers[#answers + 1] = 0
  end
  arg = arg + 4
end
if #members > 0 then call('ZREM', MEMBERS, unpack(members)) end
