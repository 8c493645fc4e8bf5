-- What the calls of a session share: this file stands between `grant.lua` and the operation.
--
-- Keeps: a session that calls is known, and so is whether it listens.

-- Opens a session that is not known, or that has begun or ceased to listen.
local function meet(process)
  local raw = call('HGET', SESSIONS, SELF)
  local listens = tonumber(ARGV[7])
  if raw then
    local name, knows = unpacked(raw)
    if knows == listens then return end
    call('HSET', SESSIONS, SELF, pack(name, listens))
    return
  end
  call('HSET', SESSIONS, SELF, pack(process, listens))
  call('ZADD', DEADLINES, now + TTL, SELF)
  store.due = math.min(store.due, now + TTL)
end
