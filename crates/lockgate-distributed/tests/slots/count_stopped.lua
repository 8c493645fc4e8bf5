-- Returns the number of leases whose holder is asked to stop. KEYS: leases.
local n = 0
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  if select(4, struct.unpack('<dddd', entry)) == 1 then n = n + 1 end
end
return n
