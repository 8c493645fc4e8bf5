-- Changes a pool.
--
-- KEYS as in prologue.lua. ARGV:
--    9 name of the pool
--   10 version that the change is based on (-1: any)
--   11 slots (-1: unchanged)
--   12 cap of each tenant (-1: none, -2: unchanged)
--   13 a tenant ("": none)
--   14 its own cap (-1: none, -2: unchanged)
--   15 its weight (0: unchanged)
--   16 how long to pause (ms, 0: do not pause)
--   17 recommended slots (-1: unchanged, -2: none)
--   18 "1" when the recommendation is enforced
--   19 its reason
--   20 "1" when this is a new version of the pool
--   21 slots of a ramp step (-1: unchanged, -2: no ramp)
--   22 how long backend work on it may outlive its process (ms, 0: not announced)
--
-- Returns {"ok", status}, see pool.lua; {"ok", {"missing"}}; or {"ok", {"conflict", version}} with nothing
-- changed.
--
-- Keeps: no lease is revoked. A lowered cap applies at once; a raised one lets its tenants in as soon as
-- their heads have moved, which the next calls do. A paused pool is not paused again. A recommendation does
-- not change configured numbers.
sweep()
local name = ARGV[9]
local p = pool_of(name)
if not p or p.slots < 0 then return finish({ 'missing' }) end
local version, slots, per_tenant, tenant = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13]
if version >= 0 and version ~= p.version then return finish({ 'conflict', p.version }) end
local slots_before, pause, recommended = queue().allowed_slots(name), tonumber(ARGV[16]), tonumber(ARGV[17])
if ARGV[20] == '1' then p.version = p.version + 1 end
touched[name] = true
local configured, configured_cap, slots_set, ramp = numbers_of(name)
if slots >= 0 then slots_set = slots end
if ARGV[21] ~= '-1' then ramp = math.max(tonumber(ARGV[21]), -1) end
p.slots = ramp >= 0 and math.min(slots_set, ramp) or slots_set
call('HSET', STATE, 'c\1' .. name, pack(configured, configured_cap, slots_set, ramp))
if tenant ~= '' then
  local field, cap, weight = name .. '\1' .. tenant, tonumber(ARGV[14]), tonumber(ARGV[15])
  local entry = call('HGET', KEYS[11], field)
  local own_cap, own_weight = -1, 1
  if entry then own_cap, own_weight = unpacked(entry) end
  if cap < -1 then cap = own_cap end
  if weight < 1 then weight = own_weight end
  if cap >= 0 or weight > 1 then
    p.shares = p.shares + call('HSET', KEYS[11], field, pack(cap, weight))
  else
    p.shares = p.shares - call('HDEL', KEYS[11], field)
  end
  queue().update_heads(tenant, { name, 1 })
end
if per_tenant > -2 and per_tenant ~= p.per_tenant then
  p.per_tenant = per_tenant
  if p.waiting > 0 then queue().update_all_heads(name) end
end
if recommended > 0 then
  call('HSET', STATE, 'a\1' .. name, pack(recommended, ARGV[18] == '1' and 1 or 0, now, ARGV[19]))
elseif recommended == -2 then
  call('HDEL', STATE, 'a\1' .. name)
end
if pause > 0 and p.paused == 0 then
  local entry = call('HGET', STATE, 'pauses')
  local pauses = entry and unpacked(entry) or {}
  p.paused, pauses[name] = now + pause, now + pause
  call('HSET', STATE, 'pauses', pack(pauses))
  store.due = math.min(store.due, p.paused)
end
raise_drain(name, tonumber(ARGV[22]))
local slots_now = queue().allowed_slots(name)
p.open = p.paused > 0 and 0 or slots_now
if slots_now ~= slots_before then
  history = history or {}
  history[#history + 1] = write(SLOTS_ENTRY, 'l', store.fence, server_ms, slots_before, slots_now, name)
end
if p.waiting > 0 then queue().unstrand() end
queue().grant()
if queue().is_updating_heads() then store.due = now end
return finish(status_of(name))
