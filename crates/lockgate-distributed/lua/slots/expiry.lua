-- Ends what has expired: sessions, draining leases, pauses, and entries of the history. Creates the wait
-- queue.
--
-- Keeps: a lease with backend work that may still run drains before its slots are free.
local function add_expiry(M)
  -- Lets a lease drain. Its slots count as used until it has drained.
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

  -- Ends a session: its leases drain or are removed, its waiters are removed. Returns false when one call
  -- cannot end all of them.
  function M.end_session(session, how)
    local members = call('ZRANGEBYLEX', MEMBERS, '[' .. session .. '\1', '(' .. session .. '\2', 'LIMIT', 0, MOST)
    local entry = call('HGET', STATE, 's\1' .. session)
    local process = entry and string.sub(entry, 2) or ''
    for _, member in ipairs(members) do
      if M.budget_is_spent() then return false end
      local id = string.sub(member, #session + 2)
      local l = lease_of(id)
      if not l then
        M.remove(id, M.waiter_of(id))
      elseif l.drain_for > 0 then
        l.process = process
        M.drain(id, l, l.drain_for)
      else
        remove_lease(id, l, how)
      end
    end
    if #members == MOST then return false end
    call('HDEL', STATE, 's\1' .. session)
    if session == SELF then raw[3] = false end
    call('ZREM', DEADLINES, session)
    return true
  end

  -- Ends the pauses that are over. Returns when the next one is.
  local function end_pauses()
    local entry, due = call('HGET', STATE, 'pauses'), math.huge
    if not entry then return due end
    local pauses = unpacked(entry)
    for name, over in pairs(pauses) do
      if over > now then
        due = math.min(due, over)
      else
        local p = pool_of(name)
        pauses[name] = nil
        if p then
          p.open, p.paused = M.allowed_slots(name), 0
          touched[name] = p
        end
      end
    end
    if due < math.huge then call('HSET', STATE, 'pauses', pack(pauses)) else call('HDEL', STATE, 'pauses') end
    return due
  end

  -- Drops the oldest entries of the history when it is too long. The last that is dropped becomes its start.
  local function shorten_history()
    local length = call('LLEN', HISTORY)
    if length <= HISTORY_MAX then return end
    local dropped = length - HISTORY_KEPT - 1
    local _, _, _, serial = read(HISTORY_START, call('LINDEX', HISTORY, 0))
    -- Entries of all kinds begin with the same fields.
    local _, number, at = read(HISTORY_START, call('LINDEX', HISTORY, dropped))
    call('LTRIM', HISTORY, dropped, -1)
    call('LSET', HISTORY, 0, write(HISTORY_START, 'b', number, at, serial + dropped))
  end

  -- Ends what has expired, and grants the slots that this frees.
  function M.sweep()
    if store.recovering_until > 0 and store.recovering_until <= now then store.recovering_until = 0 end
    for _, session in ipairs(call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, MOST)) do
      if not M.end_session(session, 'died') then break end
    end
    for _, id in ipairs(call('ZRANGEBYSCORE', DRAINING, '-inf', now, 'LIMIT', 0, MOST)) do
      if M.budget_is_spent() then break end
      remove_lease(id, lease_of(id), 'drained-out')
    end
    shorten_history()
    M.continue_head_updates()
    local due = math.min(store.recovering_until > 0 and store.recovering_until or now + TTL, end_pauses())
    local dead = call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2]
    local drained = call('ZRANGE', DRAINING, 0, 0, 'WITHSCORES')[2]
    store.due = math.min(due, tonumber(dead or due), tonumber(drained or due))
    M.continue_unstranding()
    M.grant()
    if M.budget < 0 or M.is_updating_heads() then store.due = now end
  end
end

local created
queue = function()
  if not created then
    created = {}
    add_heads(created)
    add_waiters(created)
    add_head_updates(created)
    add_grant_order(created)
    add_granting(created)
    add_expiry(created)
  end
  return created
end

-- Every operation begins with this, unless its header says otherwise: what has expired ends first.
local function sweep()
  recover_state()
  if now >= store.due then
    recover_lost_keys()
    queue().sweep()
  end
end
