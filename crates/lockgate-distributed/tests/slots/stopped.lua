-- How many leases are asked to stop. KEYS: leases.
local n = 0
for _, record in ipairs(redis.call('HVALS', KEYS[1])) do
  if select(4, struct.unpack('<dddd', record)) == 1 then n = n + 1 end
end
return n
