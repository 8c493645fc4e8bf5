-- Changes the quota of a limit; makes one that is not there.
--
-- KEYS as desk.lua. ARGV from 6: units for a microsecond, units for a token, burst, rate as text, the version that the change was
-- decided on (-1: any), "1" when a note comes with it, the note.
--
-- Returns {"ok", clock, limit} as look.lua shows it; {"ok", clock, {version}}: it is at another version, and unchanged.
--
-- Keeps: R6. No change creates a token: what was there is there, less a unit for the rounding.
local r = limit(ARGV[6], ARGV[7], ARGV[8], ARGV[9])
local version = tonumber(ARGV[10])
if version >= 0 and version ~= r.version then return { 'ok', r.clock, { r.version } } end
local u, k, burst = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local there = r.burst * r.k - r.debt
local whole = floor(there / r.k)
local part = max(floor((there - whole * r.k) / r.k * k) - 1, 0)
-- A debt of more than a century is not told exactly.
local has = max(min(min(whole, burst) * k + part, (burst - min(r.held, burst)) * k), -2 ^ 52)
r.u, r.k, r.burst, r.text, r.version = u, k, burst, ARGV[9], r.version + 1
r.debt = burst * k - has
if ARGV[11] == '1' then r.note = ARGV[12] end
write(r)
return { 'ok', r.clock, shown(NAME, r, max(r.debt, r.held * k)) }
