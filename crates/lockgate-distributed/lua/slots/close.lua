-- Ends a session: what it still holds drains, or is free, and is granted at once; its waiters leave.
--
-- KEYS as desk.lua. ARGV: those of desk.lua alone.
--
-- Returns {"ok", {more}, told}: 1 when there is more than one call does, and it is to be called again.
--
-- Keeps: what may still run at the backend is not free.
sweep()
local over = line().end_session(SELF, 'closed')
line().grant()
return done({ over and 0 or 1 })
