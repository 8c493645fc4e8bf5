-- Draws a chunk of a limit's tokens; makes the limit when it is not there.
--
-- KEYS as desk.lua. ARGV from 6: of a limit that is not there units for a microsecond, units for a token, burst, rate as text; then
-- the least and the most tokens, how long the chunk lasts us (0: it is spent at once, and not out), the chunk that comes back (or
-- ""), its unspent tokens, "1" when the caller's config has that quota.
--
-- Returns {"ok", clock, {chunk, tokens, rate, burst}}; {"ok", clock, {-1, us until they are there}}: dry; {"ok", clock, {-2}}: they
-- never are; {"ok", clock, {-3}}: no rate is in force, and nothing needs a token.
--
-- Keeps: R1. What is out counts as part of the burst.
local r = limit(ARGV[6], ARGV[7], ARGV[8], ARGV[9])
if r.version == 0 then r.version = 1 end
local least, most, lasts = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
if ARGV[13] ~= '' then take_back(r, ARGV[13], tonumber(ARGV[14])) end
if r.off == 1 then
  -- Of a limit that was unset, a process that only heard of it once knows an old quota.
  if r.note ~= '' or ARGV[15] ~= '1' then
    write(r)
    return { 'ok', r.clock, { -3 } }
  end
  change(r, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9])
end

local whole = r.burst * r.k
local lifted = max(r.debt, r.held * r.k)
local tokens = max(least, min(most, floor((whole - lifted) / r.k)))
local next = lifted + tokens * r.k
if r.clock >= r.free_at and next <= whole then
  local id = r.next
  r.debt, r.next = next, id + 1
  if lasts > 0 then
    r.held = r.held + tokens
    call('HSET', TOKENS, id, tokens)
    call('ZADD', ENDS, r.clock + lasts, id)
  end
  write(r)
  return { 'ok', r.clock, { id, tokens, r.text, r.burst } }
end
write(r)
if tokens > r.burst then return { 'ok', r.clock, { -2 } } end
local wait = ceil((next - whole) / r.u)
if r.held > 0 and lifted == r.held * r.k then
  -- Others have it all in hand: until the first of their chunks ends.
  local first = call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')
  wait = first[2] and tonumber(first[2]) + 1 - r.clock or wait
end
return { 'ok', r.clock, { -1, max(wait, 1) + max(r.free_at - r.clock, 0) } }
