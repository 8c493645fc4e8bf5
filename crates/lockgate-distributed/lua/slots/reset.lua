-- Begins a new epoch of a pool: every holder is told to stop, by push and by its next heartbeats.
--
-- KEYS as desk.lua. ARGV from 9: its name.
--
-- Returns {"ok", status} as pool.lua says, or {"ok", {"missing"}}.
--
-- Keeps: what is held counts until it is released or expired; nothing is deleted.
sweep()
local name = ARGV[9]
local p = pool_of(name)
if not p or p.slots < 0 then return done({ 'missing' }) end
p.epoch, p.peak = p.epoch + 1, p.held + p.draining
touched[name] = true
each_holder(name, function(id, l)
  if l.draining == 0 then
    l.stop = 1
    write_lease(id, l)
    call('PUBLISH', ARGV[6] .. l.session, 's' .. id)
  end
end)
return done(status_of(name))
