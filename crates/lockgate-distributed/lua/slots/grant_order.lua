-- Picks the waiter that is granted next.
--
-- Keeps: the order of core's fairness, as `wait_queue.lua` describes it.
local function add_grant_order(M)
  local HEADS = KEYS[9]
  -- Heads that this call may still check before it grants to them, while a change of a cap is under way.
  local checks_left = 100

  -- Returns the first eligible head of a set, or false. Moves stranded heads out of its way.
  local function best_head(set)
    local best = M.best_heads[set]
    while best == nil do
      local member = call('ZRANGEBYLEX', HEADS, '[' .. set .. '\1e\1', '(' .. set .. '\1e\2', 'LIMIT', 0, 1)[1]
      best = false
      if member then
        local tenant = string.sub(member, #set + 38)
        local head = M.tenant_head(set, tenant)
        -- While a change of a cap is under way, a head may still be where the old cap has put it.
        if M.is_updating_heads() then
          if checks_left == 0 then return false end
          checks_left = checks_left - 1
          M.position_head(set, tenant, head, member)
        end
        if M.is_updating_heads() and head.eligible == 0 then
          best = nil
        elseif not M.is_stranded(tenant, head.needs) then
          best = { set = set, tenant = tenant, share = head.share, ticket = head.ticket, needs = head.needs, lease = head.lease }
        elseif not M.budget_is_spent() then
          M.move_head(head, M.stranded_set(set, head.needs))
          best = nil
        end
      end
    end
    M.best_heads[set] = best
    return best
  end

  -- Returns whether all pools of some set have a free slot. Otherwise nobody can be granted, and nothing else
  -- need be read.
  function M.may_grant()
    for set in pairs(M.sets()) do
      local open = true
      for _, name in ipairs(M.pools_of(set)) do open = open and M.free_slots(name) > 0 end
      if open then return true end
    end
    return false
  end

  local function fits(needs)
    for i = 1, #needs, 2 do
      if M.free_slots(needs[i]) < needs[i + 1] then return false end
    end
    return true
  end

  -- Returns the head that is granted next, or nothing. `arrival` (set, share, ticket, needs) competes after
  -- all others of its share.
  function M.next_head(arrival)
    local candidates, set_names = {}, {}
    for set in pairs(M.sets()) do
      if not M.is_stranded_set(set) then set_names[#set_names + 1] = set end
    end
    for _, set in ipairs(set_names) do
      local head = best_head(set)
      if head then candidates[#candidates + 1] = head end
    end
    if arrival then candidates[#candidates + 1] = arrival end
    if #candidates > 1 then
      table.sort(candidates, function(a, b)
        if a.share ~= b.share then return a.share < b.share end
        return a.ticket < b.ticket
      end)
    end
    local reserved = {}
    for _, head in ipairs(candidates) do
      local blocked = false
      for i = 1, #head.needs, 2 do blocked = blocked or reserved[head.needs[i]] end
      if not blocked then
        if fits(head.needs) then return head end
        for i = 1, #head.needs, 2 do
          if M.free_slots(head.needs[i]) < head.needs[i + 1] then reserved[head.needs[i]] = true end
        end
      end
    end
  end
end
