-- Reads the pools. The clock moves and what is over is ended, as in every call.
--
-- KEYS as desk.lua. ARGV from 9: the pool whose holders are wanted, or "" for all pools without holders.
--
-- Returns {"ok", {pools, holders}, ..}: of each pool what pool.lua says; of each holder {lease, tenant, weight, fence, session,
-- process, held for ms, 1 when it drains}, in no order.
sweep()
local wanted = ARGV[9]
local found = {}
if wanted ~= '' then
  local status = status_of(wanted)
  if status then found[1] = status end
else
  for _, field in ipairs(call('HKEYS', STATE)) do
    if string.sub(field, 1, 2) == 'p\1' then
      local status = status_of(string.sub(field, 3))
      if status then found[#found + 1] = status end
    end
  end
end
local holders, processes = {}, {}
if wanted ~= '' and found[1] then
  each_holder(wanted, function(id, l, weight)
    if l.process == '' and processes[l.session] == nil then
      local record = call('HGET', STATE, 's\1' .. l.session)
      processes[l.session] = record and string.sub(record, 2) or ''
    end
    holders[#holders + 1] = { id, l.tenant, weight, l.fence, l.session, l.process ~= '' and l.process or processes[l.session],
      now - l.since, l.draining > 0 and 1 or 0 }
  end)
end
return done({ found, holders })
