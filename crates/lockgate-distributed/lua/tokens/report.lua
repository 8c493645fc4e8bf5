-- Adds the results of a process's jobs to the counters of a limit, unless the limit has changed since.
--
-- KEYS as in prologue.lua. ARGV from 6: the version of the limit, jobs that ended, that failed, that were
-- slow, the window (jobs).
--
-- Returns {"ok", clock, limit} as in list.lua; {"ok", clock, {version}} when the limit has another version
-- (0: it does not exist): then nothing was counted.
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
return { 'ok', r.clock, status_of(NAME, r, max(r.debt, r.outstanding * r.k), r.clock) }
