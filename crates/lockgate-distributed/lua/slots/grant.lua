-- Removes leases, and grants free slots to waiting requests. Slots that a call frees are granted in the same
-- call.
--
-- Keeps: held + draining <= slots after a grant; no waiter waits that could be granted; counters are the sums
-- of the leases; a session that listened and is disconnected is granted nothing.

-- The most sessions, leases, waiters and grants that one call handles; the next call continues.
local MOST = 1000

-- Removes a lease, and adds to the history how it ended.
local function remove_lease(id, l, how)
  call('HDEL', LEASES, id)
  history = history or {}
  history[#history + 1] = write(HOLD_ENTRY, 'h', store.fence, server_ms, l.fence, id, how) .. needs_text(l.needs)
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
    add_usage(name, l.tenant, -weight)
  end
  if store.waiting > 0 then queue().update_heads(l.tenant, needs) end
end

local function add_granting(M)
  M.budget = MOST
  -- Entries of sessions, as far as they were read; false when there is none.
  local sessions = {}

  -- Notifies the session of a waiter of its grant. Returns false when the session listened and is
  -- disconnected: it cannot use slots.
  local function notify(id, session, fence, request)
    if session == SELF then
      own_grants[#own_grants + 1] = { fence, request, id }
      return true
    end
    local entry = sessions[session]
    if entry == nil then
      entry = call('HGET', STATE, 's\1' .. session)
      sessions[session] = entry
    end
    local listens = entry and string.sub(entry, 1, 1) or '0'
    if listens == '0' then return true end
    if listens == '2' then return false end
    if call('PUBLISH', ARGV[6] .. session, string.format('g%d\1%s', fence, request)) > 0 then return true end
    entry = '2' .. string.sub(entry, 2)
    call('HSET', STATE, 's\1' .. session, entry)
    sessions[session] = entry
    return false
  end

  -- Uses up one unit of this call's budget. Returns true when there was none left: then the next call
  -- continues.
  function M.budget_is_spent()
    M.budget = M.budget - 1
    if M.budget >= 0 then return false end
    store.due = now
    return true
  end

  -- Grants until no waiter that may have slots finds free ones.
  function M.grant()
    if store.recovering_until > 0 or store.waiting == 0 then return end
    while M.may_grant() do
      local head = M.next_head()
      if not head or M.budget_is_spent() then return end
      local w = M.waiter_of(head.lease)
      local fence = next_number()
      if notify(head.lease, w.session, fence, w.request) then
        w.fence = fence
        add_lease(head.lease, w)
        M.remove(head.lease, w, true)
        M.update_heads(w.tenant, w.needs)
      else
        M.remove(head.lease, w)
      end
    end
  end

  -- Returns the slots of a pool that grants obey while it is not paused.
  function M.allowed_slots(name)
    local slots, recommendation = pool_of(name).slots, call('HGET', STATE, 'a\1' .. name)
    if not recommendation then return slots end
    local recommended, enforced = unpacked(recommendation)
    return enforced == 1 and math.min(recommended, slots) or slots
  end
end
