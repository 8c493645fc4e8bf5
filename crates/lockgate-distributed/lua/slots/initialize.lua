-- Initializes the state of a namespace that the ledger does not know: nobody can hold anything there, so no
-- recovery grace period is needed. A state that exists is left as it is, since then somebody holds, or has
-- lost, something.
--
-- KEYS and ARGV as in prologue.lua.
--
-- Returns {"ok", {1}} when it initialized the state; {"ok", {0}} when there was one.
--
-- Keeps: S10. Only a caller that is sure that the namespace is new may call this.
if not state_lost then return finish({ 0 }) end
add_markers()
store.recovering_until, store.due = 0, math.huge
return finish({ 1 })
