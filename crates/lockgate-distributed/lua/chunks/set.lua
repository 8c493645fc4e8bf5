-- Changes the quota of a limit; creates one that is not there.
--
-- KEYS as desk.lua. ARGV from 6: units for a microsecond, units for a token, burst, rate as text (empty: no rate from now on), the
-- version that the change was decided on (-1: any), "1" when a note comes with it, the note.
--
-- Returns {"ok", clock, limit} as look.lua shows it; {"ok", clock, {version}}: it is at another version, and unchanged.
--
-- Keeps: R6. No change creates a token.
local r = limit(ARGV[6], ARGV[7], ARGV[8], ARGV[9])
local version = tonumber(ARGV[10])
if version >= 0 and version ~= r.version then return { 'ok', r.clock, { r.version } } end
change(r, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9])
if ARGV[11] == '1' then r.note = ARGV[12] end
write(r)
return { 'ok', r.clock, shown(NAME, r, max(r.debt, r.held * r.k), r.clock) }
