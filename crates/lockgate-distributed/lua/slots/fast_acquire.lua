-- The fast path of acquire.lua: nobody waits, nothing has expired, the store is not recovering, and the
-- session is known. Grants requests from the front, as long as they want the likely pool alone and fit.
-- `fast_enqueue.lua` follows, and queues others.
--
-- KEYS, ARGV and return value: as in acquire.lua.
--
-- Keeps: what acquire.lua keeps. It changes nothing of what it leaves to the general path.
local arg, answers, last, members, n = 10, {}, #ARGV, {}, 0
local name, slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused
local fast = recovering_until == 0 and now < due and raw[4] and raw[3] and string.sub(raw[3], 1, 1) == ARGV[7]
if fast then
  name = string.sub(ARGV[8], 3)
  slots, per_tenant, version, epoch, peak, average_hold, held, draining, waiters, shares, open, paused = read(POOL, raw[4])
  fast = shares == 0
end
while fast and waiting == 0 and arg <= last do
  local id, tenant, weight = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 7])
  if ARGV[arg + 6] ~= name or ARGV[arg + 5] ~= '1' or open - held - draining < weight or n == 2000 then break end
  local usage_key = name .. '\1' .. tenant
  if per_tenant >= 0 and (call('HGET', USES, usage_key) or 0) + weight > per_tenant then break end
  local number = fence + 1
  if number < micros then number = micros end
  local entry = write(LEASE_ONE_POOL, now, number, 0, 0, ARGV[arg + 2], SELF, tenant, '', ARGV[arg + 4], name, weight)
  -- The lease is held already, or drains.
  if call('HSETNX', LEASES, id, entry) == 0 then break end
  call('HINCRBY', USES, usage_key, ARGV[arg + 7])
  members[n + 1], members[n + 2] = '0', SELF .. '\1' .. id
  n, fence, leases, held = n + 2, number, leases + 1, held + weight
  answers[#answers + 1] = number
  arg = arg + 8
end
