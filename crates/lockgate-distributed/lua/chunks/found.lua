-- Founds the limits of a namespace that the ledger has never heard of: nobody can have spent anything there, so buckets begin full.
-- A state that is there already is left as it is.
--
-- KEYS as desk.lua, the first alone. ARGV: none of its own.
--
-- Returns {"ok", -1, {1}}: founded; {"ok", -1, {0}}: it was there.
--
-- Keeps: R1. Only who is sure that the namespace is new may call this.
if not lost then return { 'ok', -1, { 0 } } end
begin_epoch(0)
return { 'ok', -1, { 1 } }
