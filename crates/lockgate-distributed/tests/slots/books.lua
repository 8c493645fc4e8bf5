-- What the counters say. KEYS: state, leases, waiters, uses, firsts, heads, behind. Returns a flat list of name and number, zeros
-- left out.
local out = {}
local function say(name, n)
  n = tonumber(n)
  if n ~= 0 then
    out[#out + 1] = name
    out[#out + 1] = n
  end
end
local store = { struct.unpack('<dddddddds', redis.call('HGET', KEYS[1], 'store 2')) }
say('waiting', store[6])
say('leases', store[7])
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local name = string.match(field, '^p\1(.*)$')
  if name then
    local p = { struct.unpack('<dddddddddd', redis.call('HGET', KEYS[1], field)) }
    say('held ' .. name, p[7])
    say('draining ' .. name, p[8])
    say('waiting ' .. name, p[9])
  end
end
local uses = redis.call('HGETALL', KEYS[4])
for i = 1, #uses, 2 do say('use ' .. string.gsub(uses[i], '\1', ' '), uses[i + 1]) end
local raw = redis.call('HGET', KEYS[1], 'sets')
for set, lines in pairs(raw and cmsgpack.unpack(raw) or {}) do say('lines ' .. string.gsub(set, '\2', '+'), lines) end
say('firsts', redis.call('HLEN', KEYS[5]))
say('heads', redis.call('ZCARD', KEYS[6]))
say('behind', redis.call('ZCARD', KEYS[7]))
return out
