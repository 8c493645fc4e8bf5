-- Reads the pools. The clock moves and what is over is ended, as in every call.
--
-- KEYS as desk.lua. ARGV from 9: the pool whose holders are wanted, or "" for all pools without holders; the serial behind which a
-- page of its record is wanted, or "" for none; the cursor of the holders ("0": from the first on). One call reads a part of them.
--
-- Returns {"ok", {pools, holders, cursor, page}, ..}: of each pool what pool.lua says; of each holder {lease, tenant, weight, fence,
-- session, process, held for ms, 1 when it drains}, in no order, perhaps twice; the cursor of the next part, "0" after the last; the page, when it is wanted, is {number and server's ms from where on the
-- record is whole, number and server's ms of now, entries, the serial to go on behind (-1: that was all)}, an entry {"h", lease, number,
-- fence, server's ms, how it ended, weight} or {"l", pool, number, limit before, server's ms, limit from then on}.
recover_lost_keys()
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
local holders, processes, cursor = {}, {}, '0'
if wanted ~= '' and found[1] then
  cursor = each_holder(wanted, ARGV[11], function(id, l, weight)
    if l.process == '' and processes[l.session] == nil then
      local record = call('HGET', STATE, 's\1' .. l.session)
      processes[l.session] = record and string.sub(record, 2) or ''
    end
    holders[#holders + 1] = { id, l.tenant, weight, l.fence, l.session, l.process ~= '' and l.process or processes[l.session],
      now - l.since, l.draining > 0 and 1 or 0 }
  end)
end

-- Entries that one call looks through.
local PAGE = 1000

local function page(name, after)
  local first = call('LINDEX', RECORD, 0)
  -- It was deleted by hand, and nothing has ended since.
  if not first then return { store.fence, real, store.fence, real, {}, -1 } end
  local _, number, since, serial = read(BEGUN, first)
  local from = math.max(1, after - serial + 1)
  local entries, records = {}, call('LRANGE', RECORD, from, from + PAGE - 1)
  for _, record in ipairs(records) do
    local kind = string.sub(record, 1, 1)
    if kind == 'h' then
      local _, last_fence, at, fence, lease, how, place = read(ENDED, record)
      local needs = needs_from(record, place)
      for i = 1, #needs, 2 do
        if needs[i] == name then entries[#entries + 1] = { 'h', lease, last_fence, fence, at, how, needs[i + 1] } end
      end
    elseif kind == 'l' then
      local _, last_fence, at, before, limit, pool = read(LIMITED, record)
      if pool == name then entries[#entries + 1] = { 'l', pool, last_fence, before, at, limit } end
    end
  end
  local last = from + #records - 1
  return { number, since, store.fence, real, entries, last < call('LLEN', RECORD) - 1 and serial + last or -1 }
end

if ARGV[10] == '' or not found[1] then return done({ found, holders, cursor }) end
return done({ found, holders, cursor, page(wanted, tonumber(ARGV[10])) })
