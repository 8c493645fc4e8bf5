-- Ends a session: its leases drain or are freed, free slots are granted at once, and its waiters are removed.
--
-- KEYS and ARGV as in prologue.lua.
--
-- Returns {"ok", {more}, own_grants}. `more` is 1 when one call could not end everything; then the caller
-- calls again.
--
-- Keeps: slots of backend work that may still run are not free.
sweep()
local complete = queue().end_session(SELF, 'closed')
queue().grant()
return finish({ complete and 0 or 1 })
