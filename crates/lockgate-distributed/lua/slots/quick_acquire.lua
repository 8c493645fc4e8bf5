-- The easy part of acquire.lua: nobody waits, nothing is over or learned, the session is known. Takes requests from the front, for
-- as long as they want the likely pool alone, and fit; `quick_enqueue.lua` follows it, and puts others in line.
--
-- KEYS, ARGV and what it returns: as acquire.lua.
--
-- Keeps: what acquire.lua keeps. What it leaves to the general way it has not changed.
local at, answers, last, members, n = 10, {}, #ARGV, {}, 0
local name, slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused
local easy = learning == 0 and now < due and raw[4] and raw[3] and string.sub(raw[3], 1, 1) == ARGV[7]
if easy then
  name = string.sub(ARGV[8], 3)
  slots, per_tenant, version, epoch, peak, hold, held, draining, waiters, shares, open, paused = read(POOL, raw[4])
  easy = shares == 0
end
while easy and waiting == 0 and at <= last do
  local id, tenant, weight = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 7])
  if ARGV[at + 6] ~= name or ARGV[at + 5] ~= '1' or open - held - draining < weight or n == 2000 then break end
  local use = name .. '\1' .. tenant
  if per_tenant >= 0 and (call('HGET', USES, use) or 0) + weight > per_tenant then break end
  local number = fence + 1
  if number < micros then number = micros end
  local record = write(LEASE_OF_ONE, now, number, 0, 0, ARGV[at + 2], SELF, tenant, '', ARGV[at + 4], name, weight)
  -- Held already, or draining.
  if call('HSETNX', LEASES, id, record) == 0 then break end
  call('HINCRBY', USES, use, ARGV[at + 7])
  members[n + 1], members[n + 2] = '0', SELF .. '\1' .. id
  n, fence, leases, held = n + 2, number, leases + 1, held + weight
  answers[#answers + 1] = number
  at = at + 8
end
