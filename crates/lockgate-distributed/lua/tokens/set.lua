-- Changes the quota of a limit. Creates the limit if it does not exist.
--
-- KEYS as in prologue.lua. ARGV:
--    6 units for a microsecond, 7 units for a token, 8 burst, 9 rate as text ("": no rate from now on)
--   10 version that the change is based on (-1: any)
--   11 "1" when there is a note, 12 the note
--
-- Returns {"ok", clock, limit} as in list.lua; {"ok", clock, {version}}, with nothing changed, when the limit
-- has another version.
--
-- Keeps: R6. No change creates a token.
local r = limit(ARGV[6], ARGV[7], ARGV[8], ARGV[9])
local version = tonumber(ARGV[10])
if version >= 0 and version ~= r.version then return { 'ok', r.clock, { r.version } } end
change_quota(r, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9])
if ARGV[11] == '1' then r.note = ARGV[12] end
write(r)
return { 'ok', r.clock, status_of(NAME, r, max(r.debt, r.outstanding * r.k), r.clock) }
