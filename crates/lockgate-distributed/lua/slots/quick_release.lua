-- The easy part of release.lua: nothing is over or learned, and who waits, waits for one pool alone. Takes releases from the front,
-- for as long as they free what the session holds of that pool; the first that does not, and all behind it, are done in the
-- general way. `quick_grant.lua` follows it, and grants what was freed.
--
-- KEYS, ARGV and what it returns: as release.lua.
--
-- Keeps: what release.lua keeps. What it leaves to the general way it has not changed.
local at, answers, last, members = 9, {}, #ARGV, {}
local FIRSTS, HEADS = KEYS[7], KEYS[9]
local pool, lines, slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused
ended = {}
local easy = learning == 0 and now < due
if easy and waiting > 0 then
  local sets = raw[2] and unpacked(raw[2]) or {}
  pool, lines = next(sets)
  easy = pool and not next(sets, pool) and not string.find(pool, '\2', 1, true)
end
while easy and at <= last and ARGV[at] == 'f' and #members < 1000 do
  local id = ARGV[at + 1]
  local record = call('HGET', LEASES, id)
  local since, number, drains, _, session, tenant, name, weight, behind
  if record then since, number, drains, _, _, session, tenant, _, _, behind = read(LEASE, record) end
  if number and number == tonumber(ARGV[at + 2]) then
    if session ~= SELF or drains > 0 or behind > #record then break end
    name, weight, behind = read(NEED, record, behind)
    if behind <= #record or pool and pool ~= name then break end
    if not slots then
      local text = raw[4]
      if ARGV[8] ~= 'p\1' .. name then text = call('HGET', STATE, 'p\1' .. name) end
      if not text then break end
      pool = name
      slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused = read(POOL, text)
    end
    if waiting > 0 and shares > 0 then break end
    call('HDEL', LEASES, id)
    ended[#ended + 1] = write(ENDED_OF_ONE, 'h', fence, real, number, id, 'released', name, weight)
    local line = name .. '\1' .. tenant
    local used = call('HINCRBY', USES, line, weight == 1 and '-1' or -weight)
    if used <= 0 then call('HDEL', USES, line) end
    members[#members + 1] = SELF .. '\1' .. id
    leases, held = leases - 1, held - weight
    hold = hold < 0 and now - since or floor((hold * 7 + now - since) / 8)
    answers[#answers + 1] = 1
    -- Its tenant has less in use now: the first of its line moves forward.
    record = waiting > 0 and call('HGET', FIRSTS, line)
    if record then
      local ticket, share, eligible, crowd, lease, _, wants = read(FIRST_OF_ONE, record)
      local fits = (per_tenant < 0 or used + wants <= per_tenant or wants > per_tenant) and 1 or 0
      call('ZREM', HEADS, string.format('%s\1%s\1%016d\1%016d\1%s', name, eligible == 1 and 'e' or 'p', share, ticket, tenant))
      call('ZADD', HEADS, '0', string.format('%s\1%s\1%016d\1%016d\1%s', name, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant))
      call('HSET', FIRSTS, line, write(FIRST_OF_ONE, ticket, used * 1000, fits, crowd, lease, name, wants))
    end
  else
    answers[#answers + 1] = 0
  end
  at = at + 4
end
if #members > 0 then call('ZREM', MEMBERS, unpack(members)) end
