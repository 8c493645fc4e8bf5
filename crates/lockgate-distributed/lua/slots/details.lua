-- Reads a part of what an operator wants to know of one pool, and what costs more the more there is of it.
--
-- KEYS as desk.lua. ARGV from 9: the pool, "shares" or "stranded", the cursor ("0": from the beginning).
--
-- Returns {"ok", {cursor of the next part ("0": that was all), found}}: of shares {tenant, its own cap (-1: none), weight} each, in no
-- order, perhaps twice; of stranded waiters their leases, perhaps twice.
--
-- Keeps: one call reads a bounded part.
sweep()
local name, found = ARGV[9], {}
local page
if ARGV[10] == 'shares' then
  page = call('HSCAN', KEYS[11], ARGV[11], 'COUNT', 500)
  for i = 1, #page[2], 2 do
    local pool, tenant = string.match(page[2][i], '^([^\1]+)\1(.*)$')
    if pool == name then found[#found + 1] = { tenant, unpacked(page[2][i + 1]) } end
  end
else
  page = call('HSCAN', WAITERS, ARGV[11], 'COUNT', 500)
  for i = 1, #page[2], 2 do
    local _, _, _, _, tenant, _, _, place = read(WAITER, page[2][i + 1])
    local needs = needs_from(page[2][i + 1], place)
    for k = 1, #needs, 2 do
      if needs[k] == name and line().is_stranded(tenant, needs) then found[#found + 1] = page[2][i] end
    end
  end
end
return done({ page[1], found })
