-- What the leases and waiters add up to, in the words of books.lua. KEYS: the same.
local sums, lines = {}, {}
local function add(name, n) sums[name] = (sums[name] or 0) + n end
local leases = redis.call('HGETALL', KEYS[2])
for i = 2, #leases, 2 do
  local l = { cmsgpack.unpack(leases[i]) }
  local draining, tenant = l[4], l[7]
  add('leases', 1)
  for k = 10, #l, 2 do
    add((draining > 0 and 'draining ' or 'held ') .. l[k], l[k + 1])
    add('use ' .. l[k] .. ' ' .. tenant, l[k + 1])
  end
end
local waiters = redis.call('HGETALL', KEYS[3])
for i = 2, #waiters, 2 do
  local w = { cmsgpack.unpack(waiters[i]) }
  local tenant, set, needs = w[5], w[6], w[7]
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
