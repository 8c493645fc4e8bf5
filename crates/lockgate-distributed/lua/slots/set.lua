-- Changes a pool.
--
-- KEYS as desk.lua. ARGV from 9: its name, the version that the change was decided on (-1: any), its slots (-1: as they are), the
-- most of one tenant (-1: no cap, -2: as it is), a tenant ("": none), its own cap (-1: none), its weight.
--
-- Returns {"ok", status} as pool.lua says; {"ok", {"missing"}}; {"ok", {"conflict", version}}, with nothing changed.
--
-- Keeps: nothing held is taken away. A cap that rises lets its tenant in at once.
sweep()
local name = ARGV[9]
local p = pool_of(name)
if not p or p.slots < 0 then return done({ 'missing' }) end
local version, slots, per_tenant, tenant = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13]
if version >= 0 and version ~= p.version then return done({ 'conflict', p.version }) end
p.version = p.version + 1
touched[name] = true
if slots >= 0 then p.slots = slots end
if tenant ~= '' then
  p.shares = p.shares + call('HSET', KEYS[11], name .. '\1' .. tenant, pack(tonumber(ARGV[14]), tonumber(ARGV[15])))
  line().move(tenant, { name, 1 })
end
if per_tenant > -2 and per_tenant ~= p.per_tenant then
  p.per_tenant = per_tenant
  if p.waiting > 0 then line().move_all(name) end
end
line().grant()
return done(status_of(name))
