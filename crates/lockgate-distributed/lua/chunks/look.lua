-- Shows all limits. Changes none.
--
-- KEYS as desk.lua, the first alone. ARGV: none of its own.
--
-- Returns {"ok", -1, {limits}}: of each {name, rate, burst, version, tokens that can be had, tokens that are out, note}, in no order.
local found = {}
local all = call('HGETALL', RATES)
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'r\1' then
    local r = limit_from(all[i + 1])
    local debt = r.burst * r.k
    if r.epoch == epoch then
      local since = max(r.clock, r.free_at)
      debt = max(r.debt - r.u * max(r.clock + max(real - r.real, 0) - since, 0), r.held * r.k, 0)
    end
    found[#found + 1] = shown(string.sub(all[i], 3), r, debt)
  end
end
return { 'ok', -1, found }
