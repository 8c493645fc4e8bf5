-- What the leases and waiters add up to, in the words of books.lua. KEYS: the same.
local sums, lines = {}, {}
local function add(name, n) sums[name] = (sums[name] or 0) + n end
-- The needs that stand in a record from a place on, as desk.lua packs them.
local function needs_from(record, place)
  local needs = {}
  while place <= #record do
    local pool, weight, behind = struct.unpack('<sd', record, place)
    needs[#needs + 1], needs[#needs + 2], place = pool, weight, behind
  end
  return needs
end
local leases = redis.call('HGETALL', KEYS[2])
for i = 2, #leases, 2 do
  local _, _, draining, _, _, _, tenant, _, _, place = struct.unpack('<dddddssss', leases[i])
  local needs = needs_from(leases[i], place)
  add('leases', 1)
  for k = 1, #needs, 2 do
    add((draining > 0 and 'draining ' or 'held ') .. needs[k], needs[k + 1])
    add('use ' .. needs[k] .. ' ' .. tenant, needs[k + 1])
  end
end
local waiters = redis.call('HGETALL', KEYS[3])
for i = 2, #waiters, 2 do
  local _, _, _, _, tenant, set, _, place = struct.unpack('<dddssss', waiters[i])
  local needs = needs_from(waiters[i], place)
  add('waiting', 1)
  for k = 1, #needs, 2 do add('waiting ' .. needs[k], 1) end
  local line = set .. '\1' .. tenant
  if lines[line] then
    add('behind', 1)
  else
    lines[line] = true
    add('firsts', 1)
    add('heads', 1)
    add('lines ' .. string.gsub(set, '\2', '+'), 1)
  end
end
local out = {}
for name, n in pairs(sums) do
  out[#out + 1] = name
  out[#out + 1] = n
end
return out
