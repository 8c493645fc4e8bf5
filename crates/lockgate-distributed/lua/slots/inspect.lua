-- Reads the pools. As in every call, the clock advances, and what has expired ends.
--
-- KEYS as in prologue.lua. ARGV from 9: the pool whose holders to return, or "" for all pools without
-- holders; the serial after which to read a page of its history, or "" for none; the cursor of the holders
-- ("0": the first page).
--
-- Returns {"ok", {pools, holders, cursor, page}, ..}:
--   pools    the status of each pool, see pool.lua
--   holders  {lease, tenant, weight, fence, session, process, held for (ms), 1 when it drains}; in no order,
--            perhaps twice
--   cursor   of the next page of holders, "0" after the last
--   page     when asked for: {number and server time (ms) since which the history is complete, number and
--            server time (ms) of now, entries, serial after which to continue (-1: this was the last page)}.
--            An entry is {"h", lease, number, fence, server time (ms), how it ended, weight} for a hold that
--            ended, or {"l", pool, number, slots before, server time (ms), slots from then on} for a change
--            of slots
recover_lost_keys()
sweep()
local wanted = ARGV[9]
local statuses = {}
if wanted ~= '' then
  local status = status_of(wanted)
  if status then statuses[1] = status end
else
  for _, field in ipairs(call('HKEYS', STATE)) do
    if string.sub(field, 1, 2) == 'p\1' then
      local status = status_of(string.sub(field, 3))
      if status then statuses[#statuses + 1] = status end
    end
  end
end
local holders, processes, cursor = {}, {}, '0'
if wanted ~= '' and statuses[1] then
  cursor = each_holder(wanted, ARGV[11], function(id, l, weight)
    if l.process == '' and processes[l.session] == nil then
      local entry = call('HGET', STATE, 's\1' .. l.session)
      processes[l.session] = entry and string.sub(entry, 2) or ''
    end
    holders[#holders + 1] = { id, l.tenant, weight, l.fence, l.session, l.process ~= '' and l.process or processes[l.session],
      now - l.since, l.draining > 0 and 1 or 0 }
  end)
end

-- Entries of the history that one call reads.
local PAGE = 1000

local function page(name, after)
  local start = call('LINDEX', HISTORY, 0)
  -- The history was deleted by hand, and nothing has ended since.
  if not start then return { store.fence, server_ms, store.fence, server_ms, {}, -1 } end
  local _, number, since, serial = read(HISTORY_START, start)
  local from = math.max(1, after - serial + 1)
  local entries, encoded = {}, call('LRANGE', HISTORY, from, from + PAGE - 1)
  for _, entry in ipairs(encoded) do
    local kind = string.sub(entry, 1, 1)
    if kind == 'h' then
      local _, last_fence, at, fence, lease, how, offset = read(HOLD_ENTRY, entry)
      local needs = needs_from(entry, offset)
      for i = 1, #needs, 2 do
        if needs[i] == name then entries[#entries + 1] = { 'h', lease, last_fence, fence, at, how, needs[i + 1] } end
      end
    elseif kind == 'l' then
      local _, last_fence, at, before, limit, pool = read(SLOTS_ENTRY, entry)
      if pool == name then entries[#entries + 1] = { 'l', pool, last_fence, before, at, limit } end
    end
  end
  local last = from + #encoded - 1
  return { number, since, store.fence, server_ms, entries, last < call('LLEN', HISTORY) - 1 and serial + last or -1 }
end

if ARGV[10] == '' or not statuses[1] then return finish({ statuses, holders, cursor }) end
return finish({ statuses, holders, cursor, page(wanted, tonumber(ARGV[10])) })
