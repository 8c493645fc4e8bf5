-- Begins a new epoch of a pool: every holder is asked to stop, by push and by its next heartbeats. Leases of sessions that no longer
-- exist are freed, or drain when their backend work may still run: nobody else would end them.
--
-- KEYS as desk.lua. ARGV from 9: its name, the cursor ("0": the epoch begins; else what the last call returned). One call does a part
-- of the leases.
--
-- Returns {"ok", {status, cursor}}, status as pool.lua says, the cursor "0" when all is done; or {"ok", {"missing"}}.
--
-- Keeps: what is held counts until it is released or expired.
recover_lost_keys()
sweep()
local name = ARGV[9]
local p = pool_of(name)
if not p or p.slots < 0 then return done({ 'missing' }) end
if ARGV[10] == '0' then p.epoch, p.peak = p.epoch + 1, p.held + p.draining end
touched[name] = true

local exists = {}
local function session_exists(session)
  if exists[session] == nil then exists[session] = call('HGET', STATE, 's\1' .. session) and true or false end
  return exists[session]
end

local cursor = each_holder(name, ARGV[10], function(id, l)
  if l.draining > 0 then return end
  if not session_exists(l.session) then
    if l.drain_for > 0 then line().drain(id, l, l.drain_for) else free(id, l, 'died') end
    return
  end
  l.stop = 1
  write_lease(id, l)
  call('PUBLISH', ARGV[6] .. l.session, 's' .. id)
end)
line().grant()
return done({ status_of(name), cursor })
