-- Initializes the limits of a namespace that the ledger does not know. Nobody can have spent anything there,
-- so buckets begin full. A state that exists is left as it is.
--
-- KEYS: the first of prologue.lua. ARGV as in prologue.lua.
--
-- Returns {"ok", -1, {1}} when it initialized the state; {"ok", -1, {0}} when there was one.
--
-- Keeps: R1. Only a caller that is sure that the namespace is new may call this.
if not is_empty then return { 'ok', -1, { 0 } } end
begin_epoch(0)
return { 'ok', -1, { 1 } }
