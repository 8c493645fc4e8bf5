-- Follows changes of a pool's caps and slots: moves the heads that they concern, and moves stranded waiters
-- back.
--
-- Keeps: one call moves a bounded number of heads. The state notes where the next call continues.
local function add_head_updates(M)
  local HEADS = KEYS[9]
  -- Pools whose cap was changed, each with the last head that was moved. The sweep reads it, in every call
  -- while there are any.
  local updates
  -- Heads that this call may still move because of changed caps.
  local updates_left = 900

  -- Moves heads of pools whose cap was changed. Every call continues until all have moved.
  function M.continue_head_updates()
    if not updates then
      local entry = call('HGET', STATE, 'moves')
      updates = entry and unpacked(entry) or {}
    end
    if not next(updates) then return end
    for name, from in pairs(updates) do
      local most = updates_left
      local members = call('ZRANGEBYLEX', HEADS, from == '' and '-' or '(' .. from, '+', 'LIMIT', 0, most)
      for _, member in ipairs(members) do
        local set = string.match(member, '^[^\1]+')
        if M.wants(set, name) then
          local tenant = string.sub(member, #set + 38)
          M.position_head(set, tenant, M.tenant_head(set, tenant), member)
        end
      end
      updates_left = most - #members
      updates[name] = #members == most and (members[most] or from) or nil
    end
    if next(updates) then call('HSET', STATE, 'moves', pack(updates)) else call('HDEL', STATE, 'moves') end
  end

  -- Begins to move the heads of all who wait for a pool, after a change of its cap.
  function M.update_all_heads(name)
    M.continue_head_updates()
    updates[name] = ''
    M.continue_head_updates()
  end

  function M.is_updating_heads()
    return updates and next(updates) ~= nil
  end

  -- Moves back the waiters that are no longer stranded. Where one call cannot move all, the next one
  -- continues.
  function M.unstrand()
    local stranded = {}
    for set in pairs(M.sets()) do
      if M.is_stranded_set(set) then stranded[#stranded + 1] = set end
    end
    for _, set in ipairs(stranded) do
      local own = string.match(set, '^(.-)\2\3')
      for _, member in ipairs(call('ZRANGEBYLEX', HEADS, '[' .. set .. '\1', '(' .. set .. '\2', 'LIMIT', 0, 1000)) do
        local tenant = string.sub(member, #set + 38)
        local head = M.tenant_head(set, tenant)
        while head and not M.is_stranded(tenant, head.needs) do
          if M.budget_is_spent() then
            call('HSET', STATE, 'unstrand', 1)
            return
          end
          M.move_head(head, own)
          head = M.tenant_head(set, tenant)
        end
      end
    end
    if #stranded > 0 then call('HDEL', STATE, 'unstrand') end
  end

  -- Continues `unstrand` where an earlier call stopped.
  function M.continue_unstranding()
    for set in pairs(M.sets()) do
      if M.is_stranded_set(set) then
        if call('HEXISTS', STATE, 'unstrand') == 1 then M.unstrand() end
        return
      end
    end
  end
end
