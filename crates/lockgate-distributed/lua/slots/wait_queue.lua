-- The wait queue: reads it, and keeps the heads of its tenant queues in order. Other files add the rest:
-- `waiters.lua` adds and removes waiters, `head_updates.lua` follows changes of caps and slots,
-- `grant_order.lua` picks the next waiter.
--
-- A tenant queue holds the waiters of one tenant for one set of pools, oldest first. Only its head, the
-- oldest waiter, competes for slots. The order of the heads is that of core's fairness: a tenant's share is
-- its slots in use divided by its weight, and the largest of its pools counts. The smallest share comes
-- first, then the oldest ticket. A head that does not fit reserves the pools that are too short for it. Of
-- each set only the first eligible head can matter: when it does not fit, it reserves a pool that every
-- waiter of the set wants.
--
-- A waiter is stranded when it needs more slots than its pool or its tenant may have. It is detected when it
-- becomes the first head of its set, and moves to a set of its own: the pools, "\2\3", and the slots that it
-- needs of each. Nobody is granted slots from such a set, so other waiters pass it. When the numbers change,
-- its waiters move back: each moves once for each change.
--
-- The functions are created on first use, because most calls find nobody waiting. A release does not need
-- them either when all waiters wait for one pool: see `fast_grant.lua`, which must keep the same order.
--
-- Keeps: each tenant queue that is not empty has one head, its oldest waiter, and `heads` holds it by what
-- its tenant has in use now.
local function add_heads(M)
  local FIRSTS, HEADS, SHARES = KEYS[7], KEYS[9], KEYS[11]
  local pools_in = {}
  -- Heads by tenant queue, as far as they were read; false when that queue is empty.
  local heads = {}
  -- The first eligible head of each set, as far as it is known; see `grant_order.lua`.
  M.best_heads = {}

  function M.free_slots(name)
    local p = pool_of(name)
    return p and p.open - p.held - p.draining or 0
  end

  -- Returns the names of the pools of a set.
  function M.pools_of(set)
    local names = pools_in[set]
    if not names then
      names = {}
      for name in string.gmatch(set, '[^\2]+') do names[#names + 1] = name end
      pools_in[set] = names
    end
    return names
  end

  function M.wants(set, name)
    for _, wanted in ipairs(M.pools_of(set)) do
      if wanted == name then return true end
    end
    return false
  end

  -- Returns the number of tenant queues by set of pools.
  function M.sets()
    if not sets then sets = raw[2] and unpacked(raw[2]) or {} end
    return sets
  end

  -- Returns the cap (-1: none) and the weight of a tenant in a pool.
  function M.share_of(name, tenant)
    local p = pool_of(name)
    if not p then return -1, 1 end
    if p.shares > 0 then
      local raw = call('HGET', SHARES, name .. '\1' .. tenant)
      if raw then
        local cap, weight = unpacked(raw)
        return cap < 0 and p.per_tenant or cap, math.max(weight, 1)
      end
    end
    return p.per_tenant, 1
  end

  -- Returns the share of a tenant in the pools of `needs`, and whether its caps allow these needs.
  function M.rank(tenant, needs)
    local share, eligible = 0, true
    for i = 1, #needs, 2 do
      local in_use = usage_of(needs[i], tenant)
      local cap, weight = M.share_of(needs[i], tenant)
      share = math.max(share, floor(in_use * 1000 / weight))
      -- A stranded waiter stays eligible, so that it is detected as the first head of its set.
      if cap >= 0 and in_use + needs[i + 1] > cap and needs[i + 1] <= cap then eligible = false end
    end
    return share, eligible
  end

  -- Returns whether a waiter needs more than it may have of a pool. A closed pool strands nobody.
  function M.is_stranded(tenant, needs)
    for i = 1, #needs, 2 do
      local p, weight = pool_of(needs[i]), needs[i + 1]
      if p then
        local allowed = p.paused > 0 and M.allowed_slots(needs[i]) or p.open
        local cap = p.per_tenant
        if p.shares > 0 then cap = M.share_of(needs[i], tenant) end
        if allowed > 0 and weight > allowed or cap >= 0 and weight > cap then return true end
      end
    end
    return false
  end

  -- Returns the member of `heads` that stands for this head.
  function M.head_member(set, tenant, head)
    return string.format('%s\1%s\1%016d\1%016d\1%s', set, head.eligible == 1 and 'e' or 'p', head.share, head.ticket, tenant)
  end

  local function head_from(raw)
    if not raw then return false end
    local ticket, share, eligible, behind, lease, offset = read(HEAD, raw)
    return { lease = lease, ticket = ticket, share = share, eligible = eligible, behind = behind, needs = needs_from(raw, offset) }
  end

  -- Returns the head of a tenant queue; false when the queue is empty.
  function M.tenant_head(set, tenant)
    local queue_key = set .. '\1' .. tenant
    local head = heads[queue_key]
    if head == nil then
      head = head_from(call('HGET', FIRSTS, queue_key))
      heads[queue_key] = head
    end
    return head
  end

  function M.write_head(set, tenant, head)
    local queue_key = set .. '\1' .. tenant
    heads[queue_key] = head
    local entry = write(HEAD, head.ticket, head.share, head.eligible, head.behind, head.lease)
    call('HSET', FIRSTS, queue_key, entry .. needs_text(head.needs))
  end

  -- Removes the head of a tenant queue that is empty now.
  function M.delete_head(set, tenant, head)
    local queue_key = set .. '\1' .. tenant
    call('HDEL', FIRSTS, queue_key)
    heads[queue_key] = false
    call('ZREM', HEADS, M.head_member(set, tenant, head))
    M.best_heads[set] = nil
  end

  -- Puts the head of a tenant queue into `heads` by what its tenant has in use now. `before` is the member
  -- that it replaces.
  function M.position_head(set, tenant, head, before)
    local share, eligible = M.rank(tenant, head.needs)
    head.share, head.eligible = share, eligible and 1 or 0
    local member = M.head_member(set, tenant, head)
    if member ~= before then
      if before then call('ZREM', HEADS, before) end
      call('ZADD', HEADS, 0, member)
      M.best_heads[set] = nil
      M.write_head(set, tenant, head)
    end
  end

  -- Moves the heads of a tenant after a change of its share, or of what it has in use of these pools.
  function M.update_heads(tenant, needs)
    if store.waiting == 0 then return end
    local unread, concerned = {}, {}
    for set in pairs(M.sets()) do
      local touches = false
      for i = 1, #needs, 2 do touches = touches or M.wants(set, needs[i]) end
      if touches then
        local queue_key = set .. '\1' .. tenant
        if heads[queue_key] == nil then unread[#unread + 1] = queue_key end
        concerned[#concerned + 1] = set
      end
    end
    if #unread > 0 then
      local entries = call('HMGET', FIRSTS, unpack(unread))
      for i, queue_key in ipairs(unread) do heads[queue_key] = head_from(entries[i]) end
    end
    for _, set in ipairs(concerned) do
      local head = heads[set .. '\1' .. tenant]
      if head then M.position_head(set, tenant, head, M.head_member(set, tenant, head)) end
    end
  end
end
