-- Reads one page of what a pool may have any number of: shares of tenants, or stranded waiters.
--
-- KEYS as in prologue.lua. ARGV from 9: the pool, "shares" or "stranded", the cursor ("0": the first page).
--
-- Returns {"ok", {cursor of the next page ("0": this was the last), entries}}. An entry is {tenant, its own
-- cap (-1: none), weight} of a share, or the lease of a stranded waiter. Entries come in no order, and may
-- come twice.
--
-- Keeps: one call reads a bounded page.
sweep()
local name, entries = ARGV[9], {}
local page
if ARGV[10] == 'shares' then
  page = call('HSCAN', KEYS[11], ARGV[11], 'COUNT', 500)
  for i = 1, #page[2], 2 do
    local pool, tenant = string.match(page[2][i], '^([^\1]+)\1(.*)$')
    if pool == name then entries[#entries + 1] = { tenant, unpacked(page[2][i + 1]) } end
  end
else
  page = call('HSCAN', WAITERS, ARGV[11], 'COUNT', 500)
  for i = 1, #page[2], 2 do
    local _, _, _, _, tenant, _, _, offset = read(WAITER, page[2][i + 1])
    local needs = needs_from(page[2][i + 1], offset)
    for k = 1, #needs, 2 do
      if needs[k] == name and queue().is_stranded(tenant, needs) then entries[#entries + 1] = page[2][i] end
    end
  end
end
return finish({ page[1], entries })
