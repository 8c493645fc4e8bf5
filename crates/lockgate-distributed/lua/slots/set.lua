-- Changes a pool.
--
-- KEYS as desk.lua. ARGV from 9: its name, the version that the change was decided on (-1: any), its slots (-1: as they are), the
-- most of one tenant (-1: no cap, -2: as it is), a tenant ("": none), its own cap (-1: none, -2: as it is), its weight (0: as it is), how long it pauses ms (0: not at all), the
-- slots of an advice (-1: as it is, -2: none), "1" when it is enforced, why, "1" when all this is a new version of the pool, the
-- slots of a ramp step (-1: as it is, -2: no ramp), how long backend work on it may outlive its process ms (0: it was not told).
--
-- Returns {"ok", status} as pool.lua says; {"ok", {"missing"}}; {"ok", {"conflict", version}}, with nothing changed.
--
-- Keeps: nothing held is taken away. A cap that was lowered holds at once; one that was raised lets its tenants in as soon as their
-- heads have moved, which the next calls do. A pool that is paused is not paused again; what was
-- configured is not changed by an advice.
sweep()
local name = ARGV[9]
local p = pool_of(name)
if not p or p.slots < 0 then return done({ 'missing' }) end
local version, slots, per_tenant, tenant = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13]
if version >= 0 and version ~= p.version then return done({ 'conflict', p.version }) end
local before, pause, advised = line().limit_of(name), tonumber(ARGV[16]), tonumber(ARGV[17])
if ARGV[20] == '1' then p.version = p.version + 1 end
touched[name] = true
local configured, configured_cap, of_pool, ramp = numbers_of(name)
if slots >= 0 then of_pool = slots end
if ARGV[21] ~= '-1' then ramp = math.max(tonumber(ARGV[21]), -1) end
p.slots = ramp >= 0 and math.min(of_pool, ramp) or of_pool
call('HSET', STATE, 'c\1' .. name, pack(configured, configured_cap, of_pool, ramp))
if tenant ~= '' then
  local field, cap, weight = name .. '\1' .. tenant, tonumber(ARGV[14]), tonumber(ARGV[15])
  local record = call('HGET', KEYS[11], field)
  local own_cap, own_weight = -1, 1
  if record then own_cap, own_weight = unpacked(record) end
  if cap < -1 then cap = own_cap end
  if weight < 1 then weight = own_weight end
  if cap >= 0 or weight > 1 then
    p.shares = p.shares + call('HSET', KEYS[11], field, pack(cap, weight))
  else
    p.shares = p.shares - call('HDEL', KEYS[11], field)
  end
  line().move(tenant, { name, 1 })
end
if per_tenant > -2 and per_tenant ~= p.per_tenant then
  p.per_tenant = per_tenant
  if p.waiting > 0 then line().move_all(name) end
end
if advised > 0 then
  call('HSET', STATE, 'a\1' .. name, pack(advised, ARGV[18] == '1' and 1 or 0, now, ARGV[19]))
elseif advised == -2 then
  call('HDEL', STATE, 'a\1' .. name)
end
if pause > 0 and p.paused == 0 then
  local record = call('HGET', STATE, 'pauses')
  local pauses = record and unpacked(record) or {}
  p.paused, pauses[name] = now + pause, now + pause
  call('HSET', STATE, 'pauses', pack(pauses))
  store.due = math.min(store.due, p.paused)
end
raise_drain(name, tonumber(ARGV[22]))
local limit = line().limit_of(name)
p.open = p.paused > 0 and 0 or limit
if limit ~= before then
  ended = ended or {}
  ended[#ended + 1] = write(LIMITED, 'l', store.fence, real, before, limit, name)
end
if p.waiting > 0 then line().unstrand() end
line().grant()
if line().is_moving() then store.due = now end
return done(status_of(name))
