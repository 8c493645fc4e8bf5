-- Adds waiters to the wait queue, removes them, and moves them to another set of pools.
--
-- Keeps: a tenant queue is ordered by ticket, also after a waiter has moved back from a set of stranded
-- waiters.
local function add_waiters(M)
  local BEHIND = KEYS[8]

  local function count_queue(set, n)
    local all = M.sets()
    local queues = (all[set] or 0) + n
    all[set] = queues > 0 and queues or nil
    sets_changed = true
  end

  local function count_waiter(needs, n)
    store.waiting = store.waiting + n
    for i = 1, #needs, 2 do
      local p = pool_of(needs[i])
      p.waiting = p.waiting + n
      touched[needs[i]] = p
    end
  end

  local function behind_member(set, tenant, ticket, id)
    return string.format('%s\1%s\1%016d\1%s', set, tenant, ticket, id)
  end

  function M.is_stranded_set(set)
    return string.find(set, '\2\3', 1, true)
  end

  function M.stranded_set(set, needs)
    local weights = {}
    for i = 2, #needs, 2 do weights[#weights + 1] = string.format('%d', needs[i]) end
    return set .. '\2\3' .. table.concat(weights, ',')
  end

  -- Writes a waiter, and inserts it into its tenant queue by its ticket.
  local function join(id, w)
    local entry = write(WAITER, w.ticket, w.since, w.drain_for, w.session, w.tenant, w.set, w.request)
    call('HSET', WAITERS, id, entry .. needs_text(w.needs))
    local head = M.tenant_head(w.set, w.tenant)
    if not head then
      M.position_head(w.set, w.tenant, { lease = id, ticket = w.ticket, behind = 0, needs = w.needs })
      count_queue(w.set, 1)
    elseif head.ticket < w.ticket then
      head.behind = head.behind + 1
      M.write_head(w.set, w.tenant, head)
      call('ZADD', BEHIND, 0, behind_member(w.set, w.tenant, w.ticket, id))
    else
      call('ZADD', BEHIND, 0, behind_member(w.set, w.tenant, head.ticket, head.lease))
      local new_head = { lease = id, ticket = w.ticket, behind = head.behind + 1, needs = w.needs }
      M.position_head(w.set, w.tenant, new_head, M.head_member(w.set, w.tenant, head))
    end
  end

  -- Appends a waiter to its tenant queue. `w` has session, drain_for, tenant, set, needs, request.
  function M.enqueue(id, w)
    store.ticket = store.ticket + 1
    w.ticket, w.since = store.ticket, now
    if M.is_stranded(w.tenant, w.needs) then w.set = M.stranded_set(w.set, w.needs) end
    call('ZADD', MEMBERS, 0, w.session .. '\1' .. id)
    count_waiter(w.needs, 1)
    join(id, w)
  end

  -- Returns the waiter of this lease, or a false value.
  function M.waiter_of(id)
    local raw = call('HGET', WAITERS, id)
    if not raw then return raw end
    local ticket, since, drain_for, session, tenant, set, request, offset = read(WAITER, raw)
    return { session = session, ticket = ticket, since = since, drain_for = drain_for, tenant = tenant, set = set,
      needs = needs_from(raw, offset), request = request }
  end

  -- Replaces the head of a tenant queue, which leaves, by the next waiter.
  local function advance(set, tenant, leaving)
    if leaving.behind == 0 then
      M.delete_head(set, tenant, leaving)
      count_queue(set, -1)
      return
    end
    local queue_key = set .. '\1' .. tenant
    local member = call('ZRANGEBYLEX', BEHIND, '[' .. queue_key .. '\1', '(' .. queue_key .. '\2', 'LIMIT', 0, 1)[1]
    call('ZREM', BEHIND, member)
    local ticket, id = string.match(member, '\1(%d+)\1([^\1]+)$')
    local w = M.waiter_of(id)
    local head = { lease = id, ticket = tonumber(ticket), behind = leaving.behind - 1, needs = w.needs }
    M.position_head(set, tenant, head, M.head_member(set, tenant, leaving))
  end

  local function leave(id, w)
    local head = M.tenant_head(w.set, w.tenant)
    if head.lease == id then return advance(w.set, w.tenant, head) end
    head.behind = head.behind - 1
    M.write_head(w.set, w.tenant, head)
    call('ZREM', BEHIND, behind_member(w.set, w.tenant, w.ticket, id))
  end

  -- Removes a waiter. `granted`: it becomes a lease, so it stays a member of its session.
  function M.remove(id, w, granted)
    call('HDEL', WAITERS, id)
    if not granted then call('ZREM', MEMBERS, w.session .. '\1' .. id) end
    count_waiter(w.needs, -1)
    leave(id, w)
  end

  -- Moves the head of a tenant queue to another set.
  function M.move_head(head, set)
    local w = M.waiter_of(head.lease)
    leave(head.lease, w)
    w.set = set
    join(head.lease, w)
  end
end
