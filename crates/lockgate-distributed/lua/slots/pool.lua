-- What the operations on pools share: this file stands between `line.lua` and the operation.
--
-- A pool is shown as {name, slots and most of a tenant (-1: all) by the config, slots that were set, slots of a ramp step (-1: no
-- ramp), most of a tenant (-1: all), version, epoch, held, draining, peak, waiters, the oldest wait ms
-- (-1: nobody waits), ms that the store still learns (-1: it does not), ms that the pool is still paused (-1: it is not), the slots
-- of the advice (-1: there is none), 1 when it is enforced, its age ms, why}.

-- Since when the oldest waiter of a pool waits, or nothing. Heads are in the order of their shares, so it looks at the first of
-- each share: there are as many as tenants have different numbers of slots in use.
local function oldest(name)
  local best
  for set in pairs(line().sets()) do
    for _, kind in ipairs(line().wants(set, name) and { 'e', 'p' } or {}) do
      local from, last = '[' .. set .. '\1' .. kind .. '\1', '(' .. set .. '\1' .. kind .. '\2'
      while from do
        local member = call('ZRANGEBYLEX', KEYS[9], from, last, 'LIMIT', 0, 1)[1]
        from = nil
        if member then
          local at = #set + 4
          local ticket, tenant = string.sub(member, at + 17, at + 32), string.sub(member, at + 34)
          if not best or ticket < best.ticket then best = { ticket = ticket, set = set, tenant = tenant } end
          from = '(' .. string.sub(member, 1, at + 15) .. '\2'
        end
      end
    end
  end
  if best then return line().waiter_of(line().first_of(best.set, best.tenant).lease).since end
end

local function advice_of(name)
  local record = call('HGET', STATE, 'a\1' .. name)
  if not record then return { -1, 0, 0, '' } end
  local slots, enforced, since, why = unpacked(record)
  return { slots, enforced, now - since, why }
end

local function status_of(name)
  local p = pool_of(name)
  if not p or p.slots < 0 then return nil end
  local since = p.waiting > 0 and oldest(name)
  -- A pool in recovery is shown so, not as paused by its backend.
  local recovers = math.max(store.learning, recovery_end(name))
  local paused = p.paused > recovers and p.paused or 0
  local configured, configured_cap, slots, ramp = numbers_of(name)
  return { name, configured, configured_cap, slots, ramp, p.per_tenant, p.version, p.epoch, p.held, p.draining, p.peak, p.waiting,
    since and now - since or -1, recovers > now and recovers - now or -1, paused > 0 and paused - now or -1, unpack(advice_of(name)) }
end

-- Calls `each` with the id, record and weight of leases of a pool: of a part of all leases, from `cursor` on ("0": from the
-- beginning). Returns the cursor of the next part, "0" after the last. A lease may come twice.
local function each_holder(name, cursor, each)
  local page = call('HSCAN', LEASES, cursor, 'COUNT', 500)
  for i = 1, #page[2], 2 do
    local l = lease_from(page[2][i + 1])
    for k = 1, #l.needs, 2 do
      if l.needs[k] == name then each(page[2][i], l, l.needs[k + 1]) end
    end
  end
  return page[1]
end
