-- Shows all limits. Changes none.
--
-- KEYS as desk.lua, the first alone. ARGV: none of its own.
--
-- Returns {"ok", -1, {limits}}: of each {name, rate, burst, version, tokens that can be had, tokens that are out, note, what
-- jobs came to since the latest change (ended, failed, slow), us since then}, in no order. Without a rate it is empty.
local found = {}
local all = call('HGETALL', RATES)
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'r\1' then
    local r = limit_from(all[i + 1])
    local debt, clock = r.burst * r.k, r.changed
    if r.epoch == epoch then
      clock = r.clock + max(real - r.real, 0)
      debt = max(r.debt - r.u * max(clock - max(r.clock, r.free_at), 0), r.held * r.k, 0)
    end
    found[#found + 1] = shown(string.sub(all[i], 3), r, debt, clock)
  end
end
return { 'ok', -1, found }
