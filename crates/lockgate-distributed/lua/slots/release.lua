-- Ends holds and waits, and grants what they free.
--
-- KEYS as desk.lua. ARGV from 9, of each release: "f" (free), "d" (drain) or "l" (leave), lease, fence, longest drain ms.
--
-- Returns {"ok", answers, told}, in the order of the releases: 1 done; 0 not held, nothing changed;
-- {"g", fence, request} the waiter was granted meanwhile and holds still; what admission.lua says of a waiter that left and was
-- stranded. `told` are grants to the caller's own session.
--
-- Keeps: a hold ends by its holder and its fence; one that drains, by anybody who knows its fence.
sweep()

local function give_back(id, l)
  free(id, l, l.draining > 0 and 'confirmed' or 'released')
  learn_hold(l)
  return 1
end

local function leave(id, l)
  if l and l.session == SELF and l.draining == 0 then return { 'g', l.fence, l.request } end
  local w = line().waiter_of(id)
  if not w or w.session ~= SELF then return 0 end
  line().leave(id, w)
  return line().is_stranded(w.tenant, w.needs) and too_heavy(w) or 1
end

local function over(what, id, fence, longest)
  local l = lease_of(id)
  if what == 'l' then return leave(id, l) end
  if not l or l.fence ~= fence then return 0 end
  local ours = l.session == SELF and l.draining == 0
  if what == 'f' or longest == 0 then
    if ours or (what == 'f' and l.draining > 0) then return give_back(id, l) end
    return 0
  end
  if not ours then return 0 end
  line().drain(id, l, longest)
  return 1
end

for i = at, #ARGV, 4 do
  answers[#answers + 1] = over(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
end
if store.waiting > 0 then line().grant() end
return done(answers)
