-- The line: who waits, and in what order. All of it is made when it is first needed: a call that finds nobody waiting needs none,
-- nor does a release when all wait for one pool (`quick_grant.lua`, which must keep to the same order).
--
-- The order is that of core's fairness: a tenant's share is its slots in use by its weight, the largest of its pools; the
-- smallest share is first, then the oldest. Who is first and does not fit keeps the pools that are too short for it. A line is
-- a tenant and a set of pools; of each line only the first contends. In a set, only its first eligible head can matter: when
-- it does not fit, it keeps a pool that all of its set want.
--
-- A waiter that needs more slots than a pool's limit, or its tenant's cap, is stranded: it is found when it is first, and moves to a
-- set of its own: that of its pools, "\2\3", and the slots that it needs of each. Nobody is granted from such a set; when the numbers
-- change, its waiters move back. So all others pass it, and each waiter is moved once for each change.
--
-- Keeps: a line that is not empty has one first, its oldest, and that stands in `heads` by what its tenant has in use now.
local function make_line()
  local FIRSTS, BEHIND, HEADS, SHARES = KEYS[7], KEYS[8], KEYS[9], KEYS[11]
  local M, pools_in, first_heads = {}, {}, {}
  -- The firsts that were read, by line; false: there nobody is.
  local firsts = {}
  -- Pools whose cap was changed, with the last head that was moved; read by the sweep, which every call makes while there are any.
  local moves
  -- Heads that this call may still move because of changed caps, and those of them that it may move before it grants to them.
  local moves_left, checks_left = 900, 100

  local function room_of(name)
    local p = pool_of(name)
    return p and p.open - p.held - p.draining or 0
  end

  -- The pools of a set.
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
    for _, one in ipairs(M.pools_of(set)) do
      if one == name then return true end
    end
    return false
  end

  -- How many lines wait for each set of pools.
  function M.sets()
    if not sets then sets = raw[2] and unpacked(raw[2]) or {} end
    return sets
  end

  local function add_line(set, n)
    local all = M.sets()
    local lines = (all[set] or 0) + n
    all[set] = lines > 0 and lines or nil
    sets_changed = true
  end

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

  -- The share of a tenant that wants `needs`, and whether its caps let it have them.
  function M.rank(tenant, needs)
    local share, eligible = 0, true
    for i = 1, #needs, 2 do
      local in_use = used(needs[i], tenant)
      local cap, weight = M.share_of(needs[i], tenant)
      share = math.max(share, floor(in_use * 1000 / weight))
      -- One that is stranded stays eligible, to be found.
      if cap >= 0 and in_use + needs[i + 1] > cap and needs[i + 1] <= cap then eligible = false end
    end
    return share, eligible
  end

  function M.is_stranded_set(set)
    return string.find(set, '\2\3', 1, true)
  end

  local function stranded_set(set, needs)
    local weights = {}
    for i = 2, #needs, 2 do weights[#weights + 1] = string.format('%d', needs[i]) end
    return set .. '\2\3' .. table.concat(weights, ',')
  end

  -- Whether a waiter needs more than it may have of a pool. A closed pool strands nobody.
  function M.is_stranded(tenant, needs)
    for i = 1, #needs, 2 do
      local p, weight = pool_of(needs[i]), needs[i + 1]
      if p then
        local limit = p.paused > 0 and M.limit_of(needs[i]) or p.open
        local cap = p.per_tenant
        if p.shares > 0 then cap = M.share_of(needs[i], tenant) end
        if limit > 0 and weight > limit or cap >= 0 and weight > cap then return true end
      end
    end
    return false
  end

  local function head_member(set, tenant, first)
    return string.format('%s\1%s\1%016d\1%016d\1%s', set, first.eligible == 1 and 'e' or 'p', first.share, first.ticket, tenant)
  end

  local function read_first(raw)
    if not raw then return false end
    local ticket, share, eligible, behind, lease, place = read(FIRST, raw)
    return { lease = lease, ticket = ticket, share = share, eligible = eligible, behind = behind, needs = needs_from(raw, place) }
  end

  function M.first_of(set, tenant)
    local line = set .. '\1' .. tenant
    local first = firsts[line]
    if first == nil then
      first = read_first(call('HGET', FIRSTS, line))
      firsts[line] = first
    end
    return first
  end

  local function write_first(set, tenant, first)
    local line = set .. '\1' .. tenant
    firsts[line] = first
    local record = write(FIRST, first.ticket, first.share, first.eligible, first.behind, first.lease)
    call('HSET', FIRSTS, line, record .. needs_text(first.needs))
  end

  -- Puts the first of a line where it belongs by what its tenant has in use now.
  local function place(set, tenant, first, before)
    local share, eligible = M.rank(tenant, first.needs)
    first.share, first.eligible = share, eligible and 1 or 0
    local member = head_member(set, tenant, first)
    if member ~= before then
      if before then call('ZREM', HEADS, before) end
      call('ZADD', HEADS, 0, member)
      first_heads[set] = nil
      write_first(set, tenant, first)
    end
  end

  -- After a change of what a tenant has in use of these pools (or of its share), moves its heads.
  function M.move(tenant, needs)
    if store.waiting == 0 then return end
    local unread, of = {}, {}
    for set in pairs(M.sets()) do
      local touches = false
      for i = 1, #needs, 2 do touches = touches or M.wants(set, needs[i]) end
      if touches then
        local line = set .. '\1' .. tenant
        if firsts[line] == nil then unread[#unread + 1] = line end
        of[#of + 1] = set
      end
    end
    if #unread > 0 then
      local records = call('HMGET', FIRSTS, unpack(unread))
      for i, line in ipairs(unread) do firsts[line] = read_first(records[i]) end
    end
    for _, set in ipairs(of) do
      local first = firsts[set .. '\1' .. tenant]
      if first then place(set, tenant, first, head_member(set, tenant, first)) end
    end
  end

  -- Moves heads of pools whose cap was changed, a bounded number in each call; every call goes on until all have moved.
  function M.continue_moves()
    if not moves then
      local record = call('HGET', STATE, 'moves')
      moves = record and unpacked(record) or {}
    end
    if not next(moves) then return end
    for name, from in pairs(moves) do
      local most = moves_left
      local members = call('ZRANGEBYLEX', HEADS, from == '' and '-' or '(' .. from, '+', 'LIMIT', 0, most)
      for _, member in ipairs(members) do
        local set = string.match(member, '^[^\1]+')
        if M.wants(set, name) then
          local tenant = string.sub(member, #set + 38)
          place(set, tenant, M.first_of(set, tenant), member)
        end
      end
      moves_left = most - #members
      moves[name] = #members == most and (members[most] or from) or nil
    end
    if next(moves) then call('HSET', STATE, 'moves', pack(moves)) else call('HDEL', STATE, 'moves') end
  end

  -- After a change of a pool's cap, begins to move the heads of all who wait for it.
  function M.move_all(name)
    M.continue_moves()
    moves[name] = ''
    M.continue_moves()
  end

  function M.is_moving()
    return moves and next(moves) ~= nil
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

  -- Writes a waiter, and puts it in its line by its ticket.
  local function join(id, w)
    local record = write(WAITER, w.ticket, w.since, w.drain_for, w.session, w.tenant, w.set, w.request)
    call('HSET', WAITERS, id, record .. needs_text(w.needs))
    local first = M.first_of(w.set, w.tenant)
    if not first then
      place(w.set, w.tenant, { lease = id, ticket = w.ticket, behind = 0, needs = w.needs })
      add_line(w.set, 1)
    elseif first.ticket < w.ticket then
      first.behind = first.behind + 1
      write_first(w.set, w.tenant, first)
      call('ZADD', BEHIND, 0, behind_member(w.set, w.tenant, w.ticket, id))
    else
      call('ZADD', BEHIND, 0, behind_member(w.set, w.tenant, first.ticket, first.lease))
      local now_first = { lease = id, ticket = w.ticket, behind = first.behind + 1, needs = w.needs }
      place(w.set, w.tenant, now_first, head_member(w.set, w.tenant, first))
    end
  end

  -- The last of its line. `w` has session, drain_for, tenant, set, needs, request.
  function M.enqueue(id, w)
    store.ticket = store.ticket + 1
    w.ticket, w.since = store.ticket, now
    if M.is_stranded(w.tenant, w.needs) then w.set = stranded_set(w.set, w.needs) end
    call('ZADD', MEMBERS, 0, w.session .. '\1' .. id)
    count_waiter(w.needs, 1)
    join(id, w)
  end

  local function read_waiter(raw)
    local ticket, since, drain_for, session, tenant, set, request, place = read(WAITER, raw)
    return { session = session, ticket = ticket, since = since, drain_for = drain_for, tenant = tenant, set = set,
      needs = needs_from(raw, place), request = request }
  end

  function M.waiter_of(id)
    local raw = call('HGET', WAITERS, id)
    return raw and read_waiter(raw)
  end

  -- Names the next in line first, when the first has gone.
  local function advance(set, tenant, gone)
    local line = set .. '\1' .. tenant
    if gone.behind == 0 then
      call('HDEL', FIRSTS, line)
      firsts[line] = false
      call('ZREM', HEADS, head_member(set, tenant, gone))
      first_heads[set] = nil
      add_line(set, -1)
      return
    end
    local member = call('ZRANGEBYLEX', BEHIND, '[' .. line .. '\1', '(' .. line .. '\2', 'LIMIT', 0, 1)[1]
    call('ZREM', BEHIND, member)
    local ticket, id = string.match(member, '\1(%d+)\1([^\1]+)$')
    local w = M.waiter_of(id)
    local first = { lease = id, ticket = tonumber(ticket), behind = gone.behind - 1, needs = w.needs }
    place(set, tenant, first, head_member(set, tenant, gone))
  end

  local function depart(id, w)
    local first = M.first_of(w.set, w.tenant)
    if first.lease == id then return advance(w.set, w.tenant, first) end
    first.behind = first.behind - 1
    write_first(w.set, w.tenant, first)
    call('ZREM', BEHIND, behind_member(w.set, w.tenant, w.ticket, id))
  end

  -- Moves the first of a line to another set.
  local function move_first(first, set)
    local w = M.waiter_of(first.lease)
    depart(first.lease, w)
    w.set = set
    join(first.lease, w)
  end

  -- Moves back those who are stranded no longer.
  function M.unstrand()
    local stranded = {}
    for set in pairs(M.sets()) do
      if M.is_stranded_set(set) then stranded[#stranded + 1] = set end
    end
    for _, set in ipairs(stranded) do
      local own = string.match(set, '^(.-)\2\3')
      for _, member in ipairs(call('ZRANGEBYLEX', HEADS, '[' .. set .. '\1', '(' .. set .. '\2', 'LIMIT', 0, 1000)) do
        local tenant = string.sub(member, #set + 38)
        local first = M.first_of(set, tenant)
        while first and not M.is_stranded(tenant, first.needs) do
          if M.spent() then
            call('HSET', STATE, 'unstrand', 1)
            return
          end
          move_first(first, own)
          first = M.first_of(set, tenant)
        end
      end
    end
    if #stranded > 0 then call('HDEL', STATE, 'unstrand') end
  end

  -- Goes on where one call could not move all.
  function M.go_on_unstranding()
    for set in pairs(M.sets()) do
      if M.is_stranded_set(set) then
        if call('HEXISTS', STATE, 'unstrand') == 1 then M.unstrand() end
        return
      end
    end
  end

  -- Takes a waiter out of line. It stays a member of its session when it becomes a lease.
  function M.leave(id, w, stays)
    call('HDEL', WAITERS, id)
    if not stays then call('ZREM', MEMBERS, w.session .. '\1' .. id) end
    count_waiter(w.needs, -1)
    depart(id, w)
  end

  -- The first eligible head of a set, or false. Those that are stranded go out of its way.
  local function first_head(set)
    local head = first_heads[set]
    while head == nil do
      local member = call('ZRANGEBYLEX', HEADS, '[' .. set .. '\1e\1', '(' .. set .. '\1e\2', 'LIMIT', 0, 1)[1]
      head = false
      if member then
        local at = #set + 4
        local tenant = string.sub(member, at + 34)
        local first = M.first_of(set, tenant)
        -- While a change of a cap is under way, a head may still stand where the old cap has put it.
        if M.is_moving() then
          if checks_left == 0 then return false end
          checks_left = checks_left - 1
          place(set, tenant, first, member)
        end
        if M.is_moving() and first.eligible == 0 then
          head = nil
        elseif not M.is_stranded(tenant, first.needs) then
          head = { set = set, tenant = tenant, share = first.share, ticket = first.ticket, needs = first.needs, lease = first.lease }
        elseif not M.spent() then
          move_first(first, stranded_set(set, first.needs))
          head = nil
        end
      end
    end
    first_heads[set] = head
    return head
  end

  -- Whether any set has some room in all of its pools: else nobody can be granted, and nothing need be read.
  function M.may_grant()
    for set in pairs(M.sets()) do
      local open = true
      for _, name in ipairs(M.pools_of(set)) do open = open and room_of(name) > 0 end
      if open then return true end
    end
    return false
  end

  local function fits(needs)
    for i = 1, #needs, 2 do
      if room_of(needs[i]) < needs[i + 1] then return false end
    end
    return true
  end

  -- Who is granted next, or nothing. `arrival` (set, share, needs) contends behind all of its share.
  function M.next(arrival)
    local heads, names = {}, {}
    for set in pairs(M.sets()) do
      if not M.is_stranded_set(set) then names[#names + 1] = set end
    end
    for _, set in ipairs(names) do
      local head = first_head(set)
      if head then heads[#heads + 1] = head end
    end
    if arrival then heads[#heads + 1] = arrival end
    if #heads > 1 then
      table.sort(heads, function(a, b)
        if a.share ~= b.share then return a.share < b.share end
        return a.ticket < b.ticket
      end)
    end
    local spoken_for = {}
    for _, head in ipairs(heads) do
      local passed = false
      for i = 1, #head.needs, 2 do passed = passed or spoken_for[head.needs[i]] end
      if not passed then
        if fits(head.needs) then return head end
        for i = 1, #head.needs, 2 do
          if room_of(head.needs[i]) < head.needs[i + 1] then spoken_for[head.needs[i]] = true end
        end
      end
    end
  end

  return M
end
