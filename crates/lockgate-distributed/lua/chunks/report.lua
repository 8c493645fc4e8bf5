-- Adds what jobs of a process came to to what those of others did, where the limit has not changed since.
--
-- KEYS as desk.lua. ARGV from 6: the version of the limit, jobs that ended, that failed, that took too long, the window.
--
-- Returns {"ok", clock, limit} as look.lua shows it; {"ok", clock, {version}}: it is at another version (0: there is none), and
-- nothing was counted.
--
-- Keeps: the counters are bounded. Beyond twice the window all are halved, as `Samples::add` does.
local r = limit()
if not r then return { 'ok', -1, { 0 } } end
if r.version ~= tonumber(ARGV[6]) then return { 'ok', r.clock, { r.version } } end
r.ended, r.failed, r.slow = r.ended + ARGV[7], r.failed + ARGV[8], r.slow + ARGV[9]
local most = max(tonumber(ARGV[10]), 1) * 2
while r.ended > most do
  r.ended, r.failed, r.slow = floor(r.ended / 2), floor(r.failed / 2), floor(r.slow / 2)
end
write(r)
return { 'ok', r.clock, shown(NAME, r, max(r.debt, r.held * r.k), r.clock) }
