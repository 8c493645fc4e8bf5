-- Sums up the leases and waiters, under the names of counters.lua. KEYS: the same.
local sums, queues = {}, {}
local function add(name, n) sums[name] = (sums[name] or 0) + n end
-- Decodes the needs of an entry, from this offset to its end; see prologue.lua.
local function needs_from(entry, offset)
  local needs = {}
  while offset <= #entry do
    local pool, weight, next_offset = struct.unpack('<sd', entry, offset)
    needs[#needs + 1], needs[#needs + 2], offset = pool, weight, next_offset
  end
  return needs
end
local leases = redis.call('HGETALL', KEYS[2])
for i = 2, #leases, 2 do
  local _, _, draining, _, _, _, tenant, _, _, offset = struct.unpack('<dddddssss', leases[i])
  local needs = needs_from(leases[i], offset)
  add('leases', 1)
  for k = 1, #needs, 2 do
    add((draining > 0 and 'draining ' or 'held ') .. needs[k], needs[k + 1])
    add('use ' .. needs[k] .. ' ' .. tenant, needs[k + 1])
  end
end
local waiters = redis.call('HGETALL', KEYS[3])
for i = 2, #waiters, 2 do
  local _, _, _, _, tenant, set, _, offset = struct.unpack('<dddssss', waiters[i])
  local needs = needs_from(waiters[i], offset)
  add('waiting', 1)
  for k = 1, #needs, 2 do add('waiting ' .. needs[k], 1) end
  local queue = set .. '\1' .. tenant
  if queues[queue] then
    add('behind', 1)
  else
    queues[queue] = true
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
