-- Begins a new epoch of a pool: asks every holder to stop, by push and by its next heartbeats. Leases of
-- sessions that no longer exist are freed, or drain when their backend work may still run: nobody else would
-- end them.
--
-- KEYS as in prologue.lua. ARGV from 9: the name of the pool, the cursor ("0": begin the epoch; otherwise as
-- the last call returned it). One call handles one page of the leases.
--
-- Returns {"ok", {status, cursor}}, see pool.lua; the cursor is "0" after the last page. {"ok", {"missing"}}
-- when there is no such pool.
--
-- Keeps: a lease counts until it is released or expires.
recover_lost_keys()
sweep()
local name = ARGV[9]
local p = pool_of(name)
if not p or p.slots < 0 then return finish({ 'missing' }) end
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
    if l.drain_for > 0 then queue().drain(id, l, l.drain_for) else remove_lease(id, l, 'died') end
    return
  end
  l.stop = 1
  write_lease(id, l)
  call('PUBLISH', ARGV[6] .. l.session, 's' .. id)
end)
queue().grant()
return finish({ status_of(name), cursor })
