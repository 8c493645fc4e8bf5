-- Functions for the operations on pools.
--
-- The status of a pool is {name, configured slots, configured cap of each tenant (-1: none), slots that were
-- set, slots of a ramp step (-1: no ramp), cap of each tenant (-1: none), version, epoch, held, draining,
-- peak, waiters, oldest wait (ms, -1: nobody waits), rest of the recovery grace period (ms, -1: it is over),
-- rest of a pause (ms, -1: none), recommended slots (-1: no recommendation), 1 when they are enforced, age of
-- the recommendation (ms), its reason}.

-- Returns when the oldest waiter of a pool was queued, or nothing. Heads are ordered by share, so it reads
-- the first head of each share: as many as tenants have different numbers of slots in use.
local function oldest_wait_since(name)
  local best
  for set in pairs(queue().sets()) do
    for _, kind in ipairs(queue().wants(set, name) and { 'e', 'p' } or {}) do
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
  if best then return queue().waiter_of(queue().tenant_head(best.set, best.tenant).lease).since end
end

local function recommendation_of(name)
  local entry = call('HGET', STATE, 'a\1' .. name)
  if not entry then return { -1, 0, 0, '' } end
  local slots, enforced, since, why = unpacked(entry)
  return { slots, enforced, now - since, why }
end

local function status_of(name)
  local p = pool_of(name)
  if not p or p.slots < 0 then return nil end
  local waiting_since = p.waiting > 0 and oldest_wait_since(name)
  -- A pool in recovery is reported as recovering, not as paused by its backend.
  local recovery_ends = math.max(store.recovering_until, recovery_end(name))
  local paused = p.paused > recovery_ends and p.paused or 0
  local configured, configured_cap, slots, ramp = numbers_of(name)
  return { name, configured, configured_cap, slots, ramp, p.per_tenant, p.version, p.epoch, p.held, p.draining, p.peak, p.waiting,
    waiting_since and now - waiting_since or -1, recovery_ends > now and recovery_ends - now or -1, paused > 0 and paused - now or -1, unpack(recommendation_of(name)) }
end

-- Calls `each` with the id, the lease and the weight of each holder of a pool in one page of all leases.
-- `cursor` is "0" for the first page. Returns the cursor of the next page, "0" after the last. A lease may
-- come twice.
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
