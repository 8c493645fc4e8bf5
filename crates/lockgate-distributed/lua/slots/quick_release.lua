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
  local session, number, since, drains, _, _, tenant, _, _, name, weight, more
  if record then session, number, since, drains, _, _, tenant, _, _, name, weight, more = unpacked(record) end
  if number and number == tonumber(ARGV[at + 2]) then
    if session ~= SELF or drains > 0 or more or not name or pool and pool ~= name then break end
    if not slots then
      local text = raw[4]
      if ARGV[8] ~= 'p\1' .. name then text = call('HGET', STATE, 'p\1' .. name) end
      if not text or #text ~= POOL_BYTES then break end
      pool = name
      slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused = read(POOL, text)
    end
    if waiting > 0 and shares > 0 then break end
    call('HDEL', LEASES, id)
    ended[#ended + 1] = pack('h', id, fence, number, real, 'released', name, weight)
    local line = name .. '\1' .. tenant
    local used = call('HINCRBY', USES, line, -weight)
    if used <= 0 then call('HDEL', USES, line) end
    members[#members + 1] = SELF .. '\1' .. id
    leases, held = leases - 1, held - weight
    hold = hold < 0 and now - since or floor((hold * 7 + now - since) / 8)
    answers[#answers + 1] = 1
    -- Its tenant has less in use now: the first of its line moves forward.
    record = waiting > 0 and call('HGET', FIRSTS, line)
    if record then
      local lease, ticket, share, eligible, behind, needs = unpacked(record)
      local fits = (per_tenant < 0 or used + needs[2] <= per_tenant) and 1 or 0
      call('ZREM', HEADS, string.format('%s\1%s\1%016d\1%016d\1%s', name, eligible == 1 and 'e' or 'p', share, ticket, tenant))
      call('ZADD', HEADS, 0, string.format('%s\1%s\1%016d\1%016d\1%s', name, fits == 1 and 'e' or 'p', used * 1000, ticket, tenant))
      call('HSET', FIRSTS, line, pack(lease, ticket, used * 1000, fits, behind, needs))
    end
  else
    answers[#answers + 1] = 0
  end
  at = at + 4
end
if #members > 0 then call('ZREM', MEMBERS, unpack(members)) end
