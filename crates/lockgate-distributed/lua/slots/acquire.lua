-- Asks for slots. Each request is answered on its own, in order, as if it had come alone.
--
-- KEYS as desk.lua. ARGV from 9: the process's name; then of each request: lease, tenant, how long it may drain ms, the
-- longest wait ms, the request (opaque), its number of pools, and for each of them, sorted, its name and weight. `at` and `answers`
-- are those of quick_acquire.lua and quick_enqueue.lua, which may have taken some.
--
-- Returns {"ok", answers, told}, in the order of the requests:
--   a fence: granted now; {"g", fence, request} held already; {"q"} in line; {"h", ms} held elsewhere; {"d", ms} draining;
--   what admission.lua says of a request that is refused. `told` are grants to earlier requests of the session.
--
-- Keeps: an arrival is never granted before an eligible waiter, nor a lease to two holders.
sweep()
meet(ARGV[9])

-- The answer to a request whose lease is held, drains, or waits already.
local function known(id)
  local l = store.leases > 0 and lease_of(id)
  if l then
    if l.draining > 0 then return { 'd', l.draining - now } end
    if l.session == SELF then return { 'g', l.fence, l.request } end
    return { 'h', TTL }
  end
  local w = store.waiting > 0 and line().waiter_of(id)
  if w then return w.session == SELF and { 'q' } or { 'h', TTL } end
end

-- Whether a request fits now, and whether no cap concerns it.
local function fits_now(w)
  local fits, uncapped = true, true
  for i = 1, #w.needs, 2 do
    local p = pool_of(w.needs[i])
    if p.open - p.held - p.draining < w.needs[i + 1] then fits = false end
    if p.per_tenant >= 0 or p.shares > 0 then uncapped = false end
  end
  return fits, uncapped
end

local function granted(id, w)
  w.fence = next_number()
  call('ZADD', MEMBERS, 0, SELF .. '\1' .. id)
  hold(id, w)
  return w.fence
end

local function ask(id, w)
  local answer = known(id)
  if answer then return answer end
  local refusal = too_heavy(w)
  if refusal then return refusal end
  local fits, uncapped = fits_now(w)
  local alone = store.waiting == 0
  -- Nobody waits, and no cap binds: nothing else need be read.
  if fits and uncapped and alone and store.learning == 0 then return granted(id, w) end
  local first = not alone and line().first_of(w.set, w.tenant)
  if fits and not first and store.learning == 0 then
    local share, eligible = line().rank(w.tenant, w.needs)
    local arrival = { set = w.set, share = share, ticket = math.huge, needs = w.needs }
    if eligible and (alone or line().next(arrival) == arrival) then
      answer = granted(id, w)
      line().move(w.tenant, w.needs)
      line().grant()
      return answer
    end
  end
  local busy = too_busy(w, first)
  if busy then return busy end
  line().enqueue(id, w)
  line().grant()
  return { 'q' }
end

local asked, of_call = {}, {}
while at <= #ARGV do
  local id, n = ARGV[at], tonumber(ARGV[at + 5])
  local w = { session = SELF, tenant = ARGV[at + 1], drain_for = tonumber(ARGV[at + 2]), max_wait = tonumber(ARGV[at + 3]),
    request = ARGV[at + 4], needs = {}, set = '' }
  at = at + 6
  local set = {}
  for i = 1, n do
    set[i] = ARGV[at]
    w.needs[2 * i - 1], w.needs[2 * i] = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
  end
  w.set = n == 1 and set[1] or table.concat(set, '\2')
  local place = #answers + 1
  asked[place], of_call[id] = id, true
  answers[place] = ask(id, w)
end
-- Who was queued, and granted behind a later request of the same call, is told so in its own answer.
if #told > 0 then
  local others = {}
  for _, grant in ipairs(told) do
    if of_call[grant[3]] then of_call[grant[3]] = { 'g', grant[1], grant[2] } else others[#others + 1] = grant end
  end
  for i, answer in ipairs(answers) do
    if type(answer) == 'table' and answer[1] == 'q' and of_call[asked[i]] ~= true then answers[i] = of_call[asked[i]] end
  end
  told = others
end
return done(answers)
