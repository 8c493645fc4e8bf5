-- Takes the unspent tokens of a chunk back.
--
-- KEYS as desk.lua. ARGV from 6: the chunk, its unspent tokens.
--
-- Returns {"ok", clock, {}}, whether it was out or not.
--
-- Keeps: a chunk comes back once, and not after its end.
local r = limit()
if not r then return { 'ok', -1, {} } end
take_back(r, ARGV[6], tonumber(ARGV[7]))
write(r)
return { 'ok', r.clock, {} }
