-- Gives the unspent tokens of a batch back.
--
-- KEYS as in prologue.lua. ARGV from 6: the batch, its unspent tokens.
--
-- Returns {"ok", clock, {}}, whether the batch was outstanding or not; -1 is the clock of a limit that does
-- not exist.
--
-- Keeps: a batch is given back once, and not after its end.
local r = limit()
if not r then return { 'ok', -1, {} } end
remove_batch(r, ARGV[6], tonumber(ARGV[7]))
write(r)
return { 'ok', r.clock, {} }
