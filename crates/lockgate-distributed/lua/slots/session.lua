-- What the calls of a session share: this file stands between `grant.lua` and the operation.
--
-- Keeps: a session that calls is known, and so is whether it listens.

-- Opens a session that is not known, or that has begun or ceased to listen.
local function meet(process)
  local record = raw[3]
  if record then
    if string.sub(record, 1, 1) ~= ARGV[7] then call('HSET', STATE, 's\1' .. SELF, ARGV[7] .. string.sub(record, 2)) end
    return
  end
  call('HSET', STATE, 's\1' .. SELF, ARGV[7] .. process)
  call('ZADD', DEADLINES, now + TTL, SELF)
  store.due = math.min(store.due, now + TTL)
end
