-- Creates a pool if it does not exist, and notes the numbers of the config.
--
-- KEYS as desk.lua. ARGV from 9: its name, its slots, the most of one tenant (-1: all of them).
--
-- Returns {"ok", status}, as pool.lua says.
--
-- Keeps: what an operator has set is not reverted. Leases that were registered before their pool count.
sweep()
local name = ARGV[9]
local p = pool_of(name)
local slots, ramp = tonumber(ARGV[10]), -1
if not p or p.slots < 0 then
  local in_use = p or { held = 0, draining = 0 }
  pools[name] = { slots = slots, per_tenant = tonumber(ARGV[11]), version = 1, epoch = 1,
    peak = in_use.held + in_use.draining, hold = -1, held = in_use.held, draining = in_use.draining, waiting = 0, shares = 0,
    open = slots, paused = 0 }
  touched[name] = true
  close_for_recovery(name)
else
  local _
  _, _, slots, ramp = numbers_of(name)
end
call('HSET', STATE, 'c\1' .. name, pack(tonumber(ARGV[10]), tonumber(ARGV[11]), slots, ramp))
line().grant()
return done(status_of(name))
