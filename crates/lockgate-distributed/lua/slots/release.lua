-- Ends leases and waits, and grants the slots that this frees.
--
-- KEYS as in prologue.lua. ARGV from 9, for each release: "f" (free), "d" (drain) or "l" (stop waiting),
-- lease, fence, longest drain (ms).
--
-- Returns {"ok", answers, own_grants}. `answers` has one entry for each release, in order:
--   1                      done
--   0                      the lease was not held; nothing changed
--   {"g", fence, request}  the waiter was granted in the meantime, and holds the lease
--   a refusal              the waiter stopped waiting, and was stranded; as admission.lua returns it
--
-- Keeps: only its holder ends a lease, and with its fence; a draining lease may be ended by anybody who knows
-- its fence.
sweep()

local function free_slots(id, l)
  remove_lease(id, l, l.draining > 0 and 'confirmed' or 'released')
  update_average_hold(l)
  return 1
end

local function stop_waiting(id, l)
  if l and l.session == SELF and l.draining == 0 then return { 'g', l.fence, l.request } end
  local w = queue().waiter_of(id)
  if not w or w.session ~= SELF then return 0 end
  queue().remove(id, w)
  return queue().is_stranded(w.tenant, w.needs) and too_heavy(w) or 1
end

local function release(what, id, fence, longest)
  local l = lease_of(id)
  if what == 'l' then return stop_waiting(id, l) end
  if not l or l.fence ~= fence then return 0 end
  local ours = l.session == SELF and l.draining == 0
  if what == 'f' or longest == 0 then
    if ours or (what == 'f' and l.draining > 0) then return free_slots(id, l) end
    return 0
  end
  if not ours then return 0 end
  queue().drain(id, l, longest)
  return 1
end

for i = arg, #ARGV, 4 do
  answers[#answers + 1] = release(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
end
if store.waiting > 0 then queue().grant() end
return finish(answers)
