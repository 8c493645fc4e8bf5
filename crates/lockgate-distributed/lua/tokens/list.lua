-- Lists all limits. Changes none.
--
-- KEYS: the first of prologue.lua. ARGV as in prologue.lua.
--
-- Returns {"ok", -1, {limits}}, in no order. A limit is {name, rate ("": none), burst, version, available
-- tokens, outstanding tokens, note, jobs since the latest change that ended, that failed, that were slow,
-- time since that change (us)}.
local limits = {}
local all = call('HGETALL', RATES)
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'r\1' then
    local r = limit_from(all[i + 1])
    local debt, clock = r.burst * r.k, r.changed
    if r.epoch == epoch then
      clock = r.clock + max(server_us - r.server_us, 0)
      debt = max(r.debt - r.u * max(clock - max(r.clock, r.free_at), 0), r.outstanding * r.k, 0)
    end
    limits[#limits + 1] = status_of(string.sub(all[i], 3), r, debt, clock)
  end
end
return { 'ok', -1, limits }
