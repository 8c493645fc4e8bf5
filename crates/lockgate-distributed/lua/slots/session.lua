-- Functions for the operations of a session.
--
-- Keeps: a session that calls is known, and so is whether it listens.

-- Opens a session that is not known. Notes when a known one has begun or stopped to listen.
local function ensure_session(process)
  local entry = raw[3]
  if entry then
    if string.sub(entry, 1, 1) ~= ARGV[7] then call('HSET', STATE, 's\1' .. SELF, ARGV[7] .. string.sub(entry, 2)) end
    return
  end
  call('HSET', STATE, 's\1' .. SELF, ARGV[7] .. process)
  call('ZADD', DEADLINES, now + TTL, SELF)
  store.due = math.min(store.due, now + TTL)
end
