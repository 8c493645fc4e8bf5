-- Reads the stored counters. KEYS: state, leases, waiters, uses, firsts, heads, behind. Returns a flat list
-- of names and numbers, without zeros.
local out = {}
local function add(name, n)
  n = tonumber(n)
  if n ~= 0 then
    out[#out + 1] = name
    out[#out + 1] = n
  end
end
local store = { struct.unpack('<dddddddds', redis.call('HGET', KEYS[1], 'store 2')) }
add('waiting', store[6])
add('leases', store[7])
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local name = string.match(field, '^p\1(.*)$')
  if name then
    local p = { struct.unpack('<dddddddddd', redis.call('HGET', KEYS[1], field)) }
    add('held ' .. name, p[7])
    add('draining ' .. name, p[8])
    add('waiting ' .. name, p[9])
  end
end
local uses = redis.call('HGETALL', KEYS[4])
for i = 1, #uses, 2 do add('use ' .. string.gsub(uses[i], '\1', ' '), uses[i + 1]) end
local raw = redis.call('HGET', KEYS[1], 'sets')
for set, lines in pairs(raw and cmsgpack.unpack(raw) or {}) do add('lines ' .. string.gsub(set, '\2', '+'), lines) end
add('firsts', redis.call('HLEN', KEYS[5]))
add('heads', redis.call('ZCARD', KEYS[6]))
add('behind', redis.call('ZCARD', KEYS[7]))
return out
