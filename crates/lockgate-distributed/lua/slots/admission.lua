-- The rules of core's admission.rs, and nothing else. A test runs them against vectors that are computed there;
-- `quick_enqueue.lua` and `quick_release.lua` repeat `too_busy` and `learn_hold` for what is easy, and are tested alike.

-- More than any number of slots.
local ANY = 4294967295

-- The refusal of a request that needs more slots than a pool, or its tenant, may have, or nothing: {"n", pool, weight, most} for
-- good, {"t", pool, weight, now, most} for now, {"u", pool} unknown.
local function too_heavy(w)
  local refusal
  for i = 1, #w.needs, 2 do
    local name, weight = w.needs[i], w.needs[i + 1]
    local p = pool_of(name)
    if not p or p.slots < 0 then
      refusal = refusal or { 'u', name }
    else
      local cap = p.per_tenant
      if p.shares > 0 then cap = line().share_of(name, w.tenant) end
      -- A closed pool opens again: jobs wait for that.
      local now_at_most = p.slots > 0 and p.slots or ANY
      if cap >= 0 and cap < now_at_most then now_at_most = cap end
      if p.slots == 0 or weight > now_at_most then
        local configured, configured_cap, set = numbers_of(name)
        if set == 0 and configured == 0 then set, configured = ANY, ANY end
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

-- The refusal of a request that would wait in vain, or nothing: {"b", how long it would wait ms, when to ask again ms}. `first` is
-- the first of its queue, or false.
local function too_busy(w, first)
  local crowd = first and first.behind + 1 or 0
  local ahead = crowd + (line().sets()[w.set] or 0)
  local longest = 0
  for i = 1, #w.needs, 2 do
    local p = pool_of(w.needs[i])
    if p.hold >= 0 then
      local cap = line().share_of(w.needs[i], w.tenant)
      if cap > 0 and crowd >= 2 * cap then longest = math.max(longest, floor(p.hold * crowd / cap)) end
      if p.slots > 0 and ahead >= 2 * p.slots then longest = math.max(longest, floor(p.hold * ahead / p.slots)) end
    end
  end
  local excess = longest - w.max_wait
  if excess > 0 then return { 'b', longest, math.min(math.max(excess, 1000), 60000) } end
end

-- Moves the average time that slots of its pools are held, by one lease.
local function learn_hold(l)
  local held = now - l.since
  for i = 1, #l.needs, 2 do
    local p = pool_of(l.needs[i])
    p.hold = p.hold < 0 and held or floor((p.hold * 7 + held) / 8)
  end
end
