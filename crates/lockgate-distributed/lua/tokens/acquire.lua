-- Acquires a batch of a limit's tokens. Creates the limit if it does not exist.
--
-- KEYS as in prologue.lua. ARGV:
--    6 units for a microsecond, 7 units for a token, 8 burst, 9 rate as text: the quota of a limit that does
--    not exist yet
--   10 the least and 11 the most tokens
--   12 how long the batch lasts (us, 0: it is spent at once, so it is never outstanding)
--   13 the batch that is given back ("": none), 14 its unspent tokens
--   15 "1" when the quota comes from the caller's config
--
-- Returns {"ok", clock, answer}, with one of these answers:
--   {batch, tokens, rate, burst}   acquired
--   {-1, us}                       not enough tokens; after this time there are
--   {-2}                           the burst is smaller than the least tokens, so there never are
--   {-3}                           the limit has no rate, and nothing needs a token
--
-- Keeps: R1. Outstanding tokens count as part of the burst.
local r = limit(ARGV[6], ARGV[7], ARGV[8], ARGV[9])
if r.version == 0 then r.version = 1 end
local least, most, lasts = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
if ARGV[13] ~= '' then remove_batch(r, ARGV[13], tonumber(ARGV[14])) end
if r.off == 1 then
  -- The limit was unset. A process that does not know it from its config may have an old quota.
  if r.note ~= '' or ARGV[15] ~= '1' then
    write(r)
    return { 'ok', r.clock, { -3 } }
  end
  change_quota(r, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9])
end

local whole = r.burst * r.k
local owed = max(r.debt, r.outstanding * r.k)
local tokens = max(least, min(most, floor((whole - owed) / r.k)))
local next = owed + tokens * r.k
if r.clock >= r.free_at and next <= whole then
  local id = r.next
  r.debt, r.next = next, id + 1
  if lasts > 0 then
    r.outstanding = r.outstanding + tokens
    call('HSET', TOKENS, id, tokens)
    call('ZADD', ENDS, r.clock + lasts, id)
  end
  write(r)
  return { 'ok', r.clock, { id, tokens, r.text, r.burst } }
end
write(r)
if tokens > r.burst then return { 'ok', r.clock, { -2 } } end
local wait = ceil((next - whole) / r.u)
if r.outstanding > 0 and owed == r.outstanding * r.k then
  -- All tokens are outstanding: wait until the first batch ends.
  local first = call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')
  wait = first[2] and tonumber(first[2]) + 1 - r.clock or wait
end
return { 'ok', r.clock, { -1, max(wait, 1) + max(r.free_at - r.clock, 0) } }
