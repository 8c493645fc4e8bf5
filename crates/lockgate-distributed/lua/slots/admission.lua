-- The rules of core's admission.rs, and nothing else. A test checks them against vectors that core computes.
-- `fast_enqueue.lua` and `fast_release.lua` repeat `too_busy` and `update_average_hold` for the simple cases;
-- the same test covers them.

-- More than any number of slots.
local UNLIMITED = 4294967295

-- Returns the refusal of a request that needs more slots than a pool, or its tenant in the pool, may have;
-- nothing when it may wait:
--   {"n", pool, weight, most}       it never fits
--   {"t", pool, weight, now, most}  it does not fit the slots that are allowed now
--   {"u", pool}                     there is no such pool
local function too_heavy(w)
  local refusal
  for i = 1, #w.needs, 2 do
    local name, weight = w.needs[i], w.needs[i + 1]
    local p = pool_of(name)
    if not p or p.slots < 0 then
      refusal = refusal or { 'u', name }
    else
      local cap = p.per_tenant
      if p.shares > 0 then cap = queue().share_of(name, w.tenant) end
      -- A closed pool opens again, and jobs wait for that.
      local now_at_most = p.slots > 0 and p.slots or UNLIMITED
      if cap >= 0 and cap < now_at_most then now_at_most = cap end
      if p.slots == 0 or weight > now_at_most then
        local configured, configured_cap, set = numbers_of(name)
        if set == 0 and configured == 0 then set, configured = UNLIMITED, UNLIMITED end
        if configured_cap >= 0 and configured_cap < configured then configured = configured_cap end
        if cap >= 0 and cap < set then set = cap end
        local most = math.max(set, configured)
        if weight > most then return { 'n', name, weight, most } end
        if weight > now_at_most then refusal = refusal or { 't', name, weight, now_at_most, most } end
      end
    end
  end
  return refusal
end

-- Returns the refusal of a request that would wait longer than it may: {"b", expected wait (ms), when to ask
-- again (ms)}; nothing when it may wait. `head` is the head of its tenant queue, or false.
local function too_busy(w, head)
  local queue_length = head and head.behind + 1 or 0
  local ahead = queue_length + (queue().sets()[w.set] or 0)
  local longest = 0
  for i = 1, #w.needs, 2 do
    local p = pool_of(w.needs[i])
    if p.average_hold >= 0 then
      local cap = queue().share_of(w.needs[i], w.tenant)
      if cap > 0 and queue_length >= 2 * cap then longest = math.max(longest, floor(p.average_hold * queue_length / cap)) end
      if p.slots > 0 and ahead >= 2 * p.slots then longest = math.max(longest, floor(p.average_hold * ahead / p.slots)) end
    end
  end
  local excess = longest - w.max_wait
  if excess > 0 then return { 'b', longest, math.min(math.max(excess, 1000), 60000) } end
end

-- Updates the average time that slots of the lease's pools are held (exponential average, weight 1/8).
local function update_average_hold(l)
  local held = now - l.since
  for i = 1, #l.needs, 2 do
    local p = pool_of(l.needs[i])
    p.average_hold = p.average_hold < 0 and held or floor((p.average_hold * 7 + held) / 8)
  end
end
