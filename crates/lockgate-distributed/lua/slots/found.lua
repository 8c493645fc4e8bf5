-- Founds the state of a namespace that the ledger has never heard of: nobody can hold anything there, so nothing needs to be
-- learned. A state that is there already is left as it is: then somebody holds, or has lost, something.
--
-- ARGV: none of its own.
--
-- Returns {"ok", {1}}: founded; {"ok", {0}}: it was there.
--
-- Keeps: S10. Only who is sure that the namespace is new may call this.
if not lost then return done({ 0 }) end
mark_keys()
store.learning, store.due = 0, math.huge
return done({ 1 })
