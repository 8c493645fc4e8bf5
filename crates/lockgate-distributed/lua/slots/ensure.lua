-- Creates a pool if it does not exist, and stores its configured numbers.
--
-- KEYS as in prologue.lua. ARGV from 9: the name of the pool, its slots, the cap of each tenant (-1: none).
--
-- Returns {"ok", status}, see pool.lua.
--
-- Keeps: settings of an operator are not reverted. Leases that were registered before their pool was created
-- count.
sweep()
local name = ARGV[9]
local p = pool_of(name)
local slots, ramp = tonumber(ARGV[10]), -1
if not p or p.slots < 0 then
  local in_use = p or { held = 0, draining = 0 }
  pools[name] = { slots = slots, per_tenant = tonumber(ARGV[11]), version = 1, epoch = 1,
    peak = in_use.held + in_use.draining, average_hold = -1, held = in_use.held, draining = in_use.draining, waiting = 0, shares = 0,
    open = slots, paused = 0 }
  touched[name] = true
  close_for_recovery(name)
else
  local _
  _, _, slots, ramp = numbers_of(name)
end
call('HSET', STATE, 'c\1' .. name, pack(tonumber(ARGV[10]), tonumber(ARGV[11]), slots, ramp))
queue().grant()
return finish(status_of(name))
