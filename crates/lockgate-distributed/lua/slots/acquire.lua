-- Requests slots. Each request is answered on its own, in order, as if it had come alone. This is the last
-- part of the script; slots/script.rs names the parts before it.
--
-- KEYS as in prologue.lua. ARGV from 9: the name of the process; then for each request: lease, tenant,
-- longest drain (ms), longest wait (ms), the request (opaque), its number of pools, and the name and weight
-- of each of them, sorted by name. `arg` and `answers` come from fast_acquire.lua and fast_enqueue.lua, which
-- may have answered the first requests.
--
-- Returns {"ok", answers, own_grants}. `answers` has one entry for each request, in order:
--   a fence                the slots were granted now
--   {"g", fence, request}  the session holds the lease already
--   {"q"}                  the request waits
--   {"h", ms}              another session holds the lease or waits for it
--   {"d", ms}              the lease drains for this time
--   a refusal              as admission.lua returns it
-- `own_grants` are grants to earlier requests of the session.
--
-- Keeps: an arrival is never granted before an eligible waiter, nor a lease to two holders.
sweep()
ensure_session(ARGV[9])

-- Returns the answer to a request whose lease is held, drains, or is waited for already; nothing for any
-- other request.
local function existing_answer(id)
  local l = store.leases > 0 and lease_of(id)
  if l then
    if l.draining > 0 then return { 'd', l.draining - now } end
    if l.session == SELF then return { 'g', l.fence, l.request } end
    return { 'h', TTL }
  end
  local w = store.waiting > 0 and queue().waiter_of(id)
  if w then return w.session == SELF and { 'q' } or { 'h', TTL } end
end

-- Returns whether a request fits now, and whether no cap applies to it.
local function fits_now(w)
  local fits, uncapped = true, true
  for i = 1, #w.needs, 2 do
    local p = pool_of(w.needs[i])
    if p.open - p.held - p.draining < w.needs[i + 1] then fits = false end
    if p.per_tenant >= 0 or p.shares > 0 then uncapped = false end
  end
  return fits, uncapped
end

local function grant_now(id, w)
  w.fence = next_number()
  call('ZADD', MEMBERS, 0, SELF .. '\1' .. id)
  add_lease(id, w)
  return w.fence
end

local function admit(id, w)
  local answer = existing_answer(id)
  if answer then return answer end
  local refusal = too_heavy(w)
  if refusal then return refusal end
  local fits, uncapped = fits_now(w)
  local alone = store.waiting == 0
  -- Nobody waits and no cap applies, so nothing else need be read.
  if fits and uncapped and alone and store.recovering_until == 0 then return grant_now(id, w) end
  local head = not alone and queue().tenant_head(w.set, w.tenant)
  if fits and not head and store.recovering_until == 0 then
    local share, eligible = queue().rank(w.tenant, w.needs)
    local arrival = { set = w.set, share = share, ticket = math.huge, needs = w.needs }
    if eligible and (alone or queue().next_head(arrival) == arrival) then
      answer = grant_now(id, w)
      queue().update_heads(w.tenant, w.needs)
      queue().grant()
      return answer
    end
  end
  local busy = too_busy(w, head)
  if busy then return busy end
  queue().enqueue(id, w)
  queue().grant()
  return { 'q' }
end

local requested, in_call = {}, {}
while arg <= #ARGV do
  local id, n = ARGV[arg], tonumber(ARGV[arg + 5])
  local w = { session = SELF, tenant = ARGV[arg + 1], drain_for = tonumber(ARGV[arg + 2]), max_wait = tonumber(ARGV[arg + 3]),
    request = ARGV[arg + 4], needs = {}, set = '' }
  arg = arg + 6
  local set = {}
  for i = 1, n do
    set[i] = ARGV[arg]
    w.needs[2 * i - 1], w.needs[2 * i] = ARGV[arg], tonumber(ARGV[arg + 1])
    arg = arg + 2
  end
  w.set = n == 1 and set[1] or table.concat(set, '\2')
  local index = #answers + 1
  requested[index], in_call[id] = id, true
  answers[index] = admit(id, w)
end
-- A request of this call that was queued, and then granted because of a later one, gets its grant as its own
-- answer.
if #own_grants > 0 then
  local others = {}
  for _, grant in ipairs(own_grants) do
    if in_call[grant[3]] then in_call[grant[3]] = { 'g', grant[1], grant[2] } else others[#others + 1] = grant end
  end
  for i, answer in ipairs(answers) do
    if type(answer) == 'table' and answer[1] == 'q' and in_call[requested[i]] ~= true then answers[i] = in_call[requested[i]] end
  end
  own_grants = others
end
return finish(answers)
