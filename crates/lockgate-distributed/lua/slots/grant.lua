-- Granting, and the end of what is over: who leaves, or dies, leaves slots that are granted in the same call.
--
-- Keeps: held + draining <= slots after a grant; nobody waits who could be granted; counters are the sums of the leases. Slots
-- are not granted to a session that listened and is gone.

-- The most sessions, leases, waiters and grants of one call; the next call goes on.
local MOST = 1000

-- Takes a lease out of the books, and puts on record how it ended.
local function free(id, l, how)
  call('HDEL', LEASES, id)
  ended = ended or {}
  ended[#ended + 1] = write(ENDED, 'h', store.fence, real, l.fence, id, how) .. needs_text(l.needs)
  store.leases = store.leases - 1
  if l.draining > 0 then
    call('ZREM', DRAINING, id)
  else
    call('ZREM', MEMBERS, l.session .. '\1' .. id)
  end
  local needs = l.needs
  for i = 1, #needs, 2 do
    local name, weight = needs[i], needs[i + 1]
    local p = pool_of(name)
    if l.draining > 0 then p.draining = p.draining - weight else p.held = p.held - weight end
    touched[name] = p
    use(name, l.tenant, -weight)
  end
  if store.waiting > 0 then line().move(l.tenant, needs) end
end

local function add_grants(M)
  local budget = MOST
  -- The records of sessions, as far as they were read; false: there is none.
  local sessions = {}

  -- Tells the session of a waiter. Answers false when it listened and is gone: slots are not for the dead.
  local function tell(id, session, fence, request)
    if session == SELF then
      told[#told + 1] = { fence, request, id }
      return true
    end
    local record = sessions[session]
    if record == nil then
      record = call('HGET', STATE, 's\1' .. session)
      sessions[session] = record
    end
    local listens = record and string.sub(record, 1, 1) or '0'
    if listens == '0' then return true end
    if listens == '2' then return false end
    if call('PUBLISH', ARGV[6] .. session, string.format('g%d\1%s', fence, request)) > 0 then return true end
    record = '2' .. string.sub(record, 2)
    call('HSET', STATE, 's\1' .. session, record)
    sessions[session] = record
    return false
  end

  -- Whether this call has done its share; the next goes on.
  function M.spent()
    budget = budget - 1
    if budget >= 0 then return false end
    store.due = now
    return true
  end

  -- Grants until nobody who may have slots waits for free ones.
  function M.grant()
    if store.learning > 0 or store.waiting == 0 then return end
    while M.may_grant() do
      local head = M.next()
      if not head or M.spent() then return end
      local w = M.waiter_of(head.lease)
      local fence = next_number()
      if tell(head.lease, w.session, fence, w.request) then
        w.fence = fence
        hold(head.lease, w)
        M.leave(head.lease, w, true)
        M.move(w.tenant, w.needs)
      else
        M.leave(head.lease, w)
      end
    end
  end

  -- Lets a lease drain. It counts until it has.
  function M.drain(id, l, longest)
    l.draining = now + longest
    write_lease(id, l)
    call('ZADD', DRAINING, l.draining, id)
    call('ZREM', MEMBERS, l.session .. '\1' .. id)
    store.due = math.min(store.due, l.draining)
    for i = 1, #l.needs, 2 do
      local p = pool_of(l.needs[i])
      p.held, p.draining = p.held - l.needs[i + 1], p.draining + l.needs[i + 1]
      touched[l.needs[i]] = p
    end
  end

  -- Ends a session: what it holds drains or is free, its waiters leave. Answers false when there is more than one call does.
  function M.end_session(session, how)
    local members = call('ZRANGEBYLEX', MEMBERS, '[' .. session .. '\1', '(' .. session .. '\2', 'LIMIT', 0, MOST)
    local record = call('HGET', STATE, 's\1' .. session)
    local process = record and string.sub(record, 2) or ''
    for _, member in ipairs(members) do
      if M.spent() then return false end
      local id = string.sub(member, #session + 2)
      local l = lease_of(id)
      if not l then
        M.leave(id, M.waiter_of(id))
      elseif l.drain_for > 0 then
        l.process = process
        M.drain(id, l, l.drain_for)
      else
        free(id, l, how)
      end
    end
    if #members == MOST then return false end
    call('HDEL', STATE, 's\1' .. session)
    if session == SELF then raw[3] = false end
    call('ZREM', DEADLINES, session)
    return true
  end

  -- The slots that grants obey when the pool is not paused.
  function M.limit_of(name)
    local slots, advice = pool_of(name).slots, call('HGET', STATE, 'a\1' .. name)
    if not advice then return slots end
    local advised, enforced = unpacked(advice)
    return enforced == 1 and math.min(advised, slots) or slots
  end

  -- Ends the pauses that are over. Answers when the next one is.
  local function end_pauses()
    local record, due = call('HGET', STATE, 'pauses'), math.huge
    if not record then return due end
    local pauses = unpacked(record)
    for name, over in pairs(pauses) do
      if over > now then
        due = math.min(due, over)
      else
        local p = pool_of(name)
        pauses[name] = nil
        if p then
          p.open, p.paused = M.limit_of(name), 0
          touched[name] = p
        end
      end
    end
    if due < math.huge then call('HSET', STATE, 'pauses', pack(pauses)) else call('HDEL', STATE, 'pauses') end
    return due
  end

  -- Forgets what is too old of the record; the last that is forgotten becomes its beginning.
  local function shorten_record()
    local length = call('LLEN', RECORD)
    if length <= LONGEST then return end
    local gone = length - KEPT - 1
    local _, _, _, serial = read(BEGUN, call('LINDEX', RECORD, 0))
    -- All kinds begin with the same.
    local _, number, at = read(BEGUN, call('LINDEX', RECORD, gone))
    call('LTRIM', RECORD, gone, -1)
    call('LSET', RECORD, 0, write(BEGUN, 'b', number, at, serial + gone))
  end

  -- Ends dead sessions and pauses that are over, frees what has drained, and grants what they leave.
  function M.sweep()
    if store.learning > 0 and store.learning <= now then store.learning = 0 end
    for _, session in ipairs(call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, MOST)) do
      if not M.end_session(session, 'died') then break end
    end
    for _, id in ipairs(call('ZRANGEBYSCORE', DRAINING, '-inf', now, 'LIMIT', 0, MOST)) do
      if M.spent() then break end
      free(id, lease_of(id), 'drained-out')
    end
    shorten_record()
    M.continue_moves()
    local due = math.min(store.learning > 0 and store.learning or now + TTL, end_pauses())
    local dead = call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2]
    local drained = call('ZRANGE', DRAINING, 0, 0, 'WITHSCORES')[2]
    store.due = math.min(due, tonumber(dead or due), tonumber(drained or due))
    M.go_on_unstranding()
    M.grant()
    if budget < 0 or M.is_moving() then store.due = now end
  end

  return M
end

local made
line = function()
  made = made or add_grants(make_line())
  return made
end

-- Every operation begins so, unless it says otherwise: what is over is ended first.
local function sweep()
  recover_state()
  if now >= store.due then
    recover_lost_keys()
    line().sweep()
  end
end
