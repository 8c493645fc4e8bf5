-- The beginning of every script of the token store: declares the format of the state, and keeps the clocks of
-- the limits. A script consists of this file and the operation.
--
-- KEYS. All have the hash tag of the namespace; none expires by Redis. Times are microseconds.
--   1 rates    HASH  "store"       identity of the server, epoch of the state, when the recovery of the epoch
--                                  ends (0: it has none, the namespace was new)
--                    "r" \1 limit  the limit
--   2 ends     ZSET  token batch of the limit by its end
--   3 tokens   HASH  token batch -> its tokens
-- A limit without a rate is `off`: its bucket is kept, and nothing needs a token. `changed` is the limit's
-- clock at its latest change. `ended`, `failed` and `slow` count the results of jobs of all processes since
-- then.
--
-- ARGV of each operation:
--   1 identity of the server: run id and replication id
--   2 "0"; "1" when the caller has just read the identity again; "2" when also the server reports that its
--     data never came from another server
--   3 the limit, or ""
--   4 the limit's clock in the caller's last reply (-1: it had none)
--   5 how long ago the caller sent that call, by its own clock, which never leaps
--   6 and later: those of the operation
--
-- Returns {"identity"}, with nothing changed, when the state is another server's and ARGV[2] is "0";
-- otherwise {"ok", clock, answer}.
--
-- A bucket is stored as its debt: the units that were charged and that time has not restored yet. A
-- microsecond restores `u` units, a token costs `k` units. All are whole numbers below 2^53, which Lua counts
-- exactly. A full bucket has no debt; an empty one has a debt of a burst. Outstanding tokens are part of the
-- debt, so it never falls below them.
--
-- Keeps: R1. The clock does not go back. A leap of the server's clock does not count as time: what exceeds
-- the time on the caller's own clock by more than SLACK is ignored (time services make smaller steps slowly).
-- A caller without a reply yet confirms no time: it advances the clock by at most one second, or the time of
-- one token. Lost buckets begin empty, after all batches have ended.
local RATES, ENDS, TOKENS = KEYS[1], KEYS[2], KEYS[3]
local call, floor, ceil, min, max = redis.call, math.floor, math.ceil, math.min, math.max
local pack, unpacked = cmsgpack.pack, cmsgpack.unpack
local NAME, SEEN_CLOCK, ELAPSED = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
-- Longer than any batch lasts; see `LONGEST` in token_store.rs.
local RECOVERY = 11000000
local SLACK, FIRST_STEP = 100000, 1000000

local time = call('TIME')
local server_us = time[1] * 1000000 + time[2]
local stored = call('HGET', RATES, 'store')
local is_empty, known, epoch, recovers_at = not stored, false, 0, 0
if stored then
  local identity
  identity, epoch, recovers_at = unpacked(stored)
  known = identity == ARGV[1]
  if not known and ARGV[2] == '0' then return { 'identity' } end
  -- A replica or a backup that attaches changes only the replication id, and nothing was lost.
  if not known and ARGV[2] == '2' and string.match(identity, '^[^:]*') == string.match(ARGV[1], '^[^:]*') then
    known = true
    call('HSET', RATES, 'store', pack(ARGV[1], epoch, recovers_at))
  end
end

-- Begins an epoch. Buckets of earlier epochs are not trusted.
local function begin_epoch(recovery_end)
  epoch, recovers_at = max(server_us, epoch + 1), recovery_end
  call('HSET', RATES, 'store', pack(ARGV[1], epoch, recovers_at))
end
if not known then begin_epoch(server_us + RECOVERY) end

local function limit_from(entry)
  local r = {}
  r.clock, r.server_us, r.debt, r.outstanding, r.next, r.free_at, r.epoch, r.u, r.k, r.burst, r.version, r.text, r.note, r.off, r.changed,
    r.ended, r.failed, r.slow = unpacked(entry)
  return r
end

local function write(r)
  call('HSET', RATES, 'r\1' .. NAME,
    pack(r.clock, r.server_us, r.debt, r.outstanding, r.next, r.free_at, r.epoch, r.u, r.k, r.burst, r.version, r.text, r.note,
      r.off, r.changed, r.ended, r.failed, r.slow))
end

-- Starts the bucket of a limit that is new to this epoch. Batch numbers continue with the clock, so that none
-- is used twice.
local function start_bucket(r)
  call('UNLINK', ENDS, TOKENS)
  r.clock, r.server_us, r.outstanding, r.epoch = server_us, server_us, 0, epoch
  r.next = max(r.next, server_us)
  r.free_at = max(recovers_at, server_us)
  r.changed = server_us
  r.debt = 0
  if recovers_at > 0 then r.debt = r.burst * r.k - min(r.u * max(server_us - recovers_at, 0), r.burst * r.k) end
end

-- Removes a batch, and restores its unspent tokens.
local function remove_batch(r, id, unspent)
  local tokens = tonumber(call('HGET', TOKENS, id) or -1)
  if tokens < 0 then return end
  r.debt = max(r.debt, r.outstanding * r.k) - min(unspent, tokens) * r.k
  r.outstanding = r.outstanding - tokens
  call('HDEL', TOKENS, id)
  call('ZREM', ENDS, id)
end

local function advance(r)
  if r.epoch ~= epoch then return start_bucket(r) end
  local step = max(server_us - r.server_us, 0)
  if SEEN_CLOCK < 0 then
    step = min(step, max(FIRST_STEP, ceil(r.k / r.u)))
  else
    local confirmed = max(SEEN_CLOCK + ELAPSED - r.clock, 0)
    if step > confirmed + SLACK then step = confirmed end
  end
  local since = max(r.clock, r.free_at)
  r.clock, r.server_us = r.clock + step, server_us
  if r.clock > since then r.debt = max(r.debt - r.u * (r.clock - since), 0) end
  r.debt = max(r.debt, r.outstanding * r.k)
  local ended = call('ZRANGEBYSCORE', ENDS, '-inf', string.format('(%.0f', r.clock), 'LIMIT', 0, 1000)
  for _, id in ipairs(ended) do remove_batch(r, id, 0) end
end

-- Returns the limit, with its clock advanced. Creates one that does not exist when a quota is given;
-- otherwise returns nil.
local function limit(u, k, burst, text)
  local entry = call('HGET', RATES, 'r\1' .. NAME)
  if not entry and not u then return nil end
  local r = entry and limit_from(entry)
    or { next = 0, epoch = 0, u = tonumber(u), k = tonumber(k), burst = tonumber(burst), text = text, version = 0, note = '',
      off = text == '' and 1 or 0, changed = 0, ended = 0, failed = 0, slow = 0 }
  advance(r)
  return r
end

-- Changes the quota; with an empty `text` the limit has no rate, and its bucket is kept. No change creates a
-- token: available tokens stay, less one unit for rounding. The counters of job results start again.
local function change_quota(r, u, k, burst, text)
  r.off = text == '' and 1 or 0
  if text ~= '' then
    local available = r.burst * r.k - r.debt
    local whole = floor(available / r.k)
    local part = max(floor((available - whole * r.k) / r.k * k) - 1, 0)
    -- A debt of more than a century is not kept exactly.
    local kept = max(min(min(whole, burst) * k + part, (burst - min(r.outstanding, burst)) * k), -2 ^ 52)
    r.u, r.k, r.burst, r.text = u, k, burst, text
    r.debt = burst * k - kept
  end
  r.version, r.changed = r.version + 1, r.clock
  r.ended, r.failed, r.slow = 0, 0, 0
end

-- Returns the status of a limit as list.lua describes it, for the given debt and clock.
local function status_of(name, r, debt, clock)
  local text = r.off == 1 and '' or r.text
  local tokens = max(floor((r.burst * r.k - debt) / r.k), 0)
  return { name, text, r.burst, r.version, tokens, r.outstanding, r.note, r.ended, r.failed, r.slow, max(clock - r.changed, 0) }
end
