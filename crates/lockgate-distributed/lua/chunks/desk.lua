-- The desk of the chunks: what each operation on the limits of rate begins with. Every script is this file and the operation.
--
-- KEYS, all with the hash tag of the namespace, none with an expiry of Redis; times are microseconds:
--   1 rates    HASH  "store" -> who the server was, the epoch of the state, when an epoch has learned (0: it was founded);
--                    "r" \1 limit -> the limit's record
--   2 ends     ZSET  chunk of the limit by its end
--   3 tokens   HASH  chunk -> its tokens
-- A limit without a rate is `off`: its bucket is kept, and nothing needs a token. `changed` is the limit's clock at its latest change,
-- `ended`, `failed` and `slow` count what jobs of all processes came to since then.
--
-- ARGV, of each operation: 1 who the server is (run id and replication id), 2 "0", or when the caller has just read that again, "1", or "2" when the server says that its data never came from another one, 3 the
-- limit (or ""), 4 the limit's clock in the caller's last answer (-1: it had none), 5 how long ago it sent that call, by its own
-- clock, which never leaps. The operation's own begin at 6.
--
-- Returns {"identity"}, with nothing changed, when the state is another server's and 2 is "0"; else {"ok", clock, answer}.
--
-- A bucket is told by its debt: units charged that time has not brought back yet. A microsecond brings `u` units, a token is `k`
-- of them; all are whole numbers below 2^53, which Lua counts exactly. A full bucket has no debt, an empty one a debt of a burst.
-- TokenStore that are out are part of the debt: it never falls below their tokens.
--
-- Keeps: R1. The clock does not go back. A leap forward of the server's is no time: what a caller's own clock does not bear out
-- is not believed, beyond SLACK (smaller steps are what time services make slowly). A caller without an answer yet bears nothing
-- out: it brings one second, or the time of one token, at most. What is lost begins empty, after all chunks have ended.
local RATES, ENDS, TOKENS = KEYS[1], KEYS[2], KEYS[3]
local call, floor, ceil, min, max = redis.call, math.floor, math.ceil, math.min, math.max
local pack, unpacked = cmsgpack.pack, cmsgpack.unpack
local NAME, SEEN, ELAPSED = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
-- Longer than any chunk lasts; see `LONGEST` in chunks.rs.
local LEARN = 11000000
local SLACK, BLIND = 100000, 1000000

local time = call('TIME')
local real = time[1] * 1000000 + time[2]
local stored = call('HGET', RATES, 'store')
local lost, known, epoch, learned = not stored, false, 0, 0
if stored then
  local identity
  identity, epoch, learned = unpacked(stored)
  known = identity == ARGV[1]
  if not known and ARGV[2] == '0' then return { 'identity' } end
  -- A replica or a backup that attaches changes only the replication id, and nothing was lost.
  if not known and ARGV[2] == '2' and string.match(identity, '^[^:]*') == string.match(ARGV[1], '^[^:]*') then
    known = true
    call('HSET', RATES, 'store', pack(ARGV[1], epoch, learned))
  end
end

-- Begins an epoch: what was before it is not believed.
local function begin_epoch(until_learned)
  epoch, learned = max(real, epoch + 1), until_learned
  call('HSET', RATES, 'store', pack(ARGV[1], epoch, learned))
end
if not known then begin_epoch(real + LEARN) end

local function limit_from(record)
  local r = {}
  r.clock, r.real, r.debt, r.held, r.next, r.free_at, r.epoch, r.u, r.k, r.burst, r.version, r.text, r.note, r.off, r.changed,
    r.ended, r.failed, r.slow = unpacked(record)
  return r
end

local function write(r)
  call('HSET', RATES, 'r\1' .. NAME,
    pack(r.clock, r.real, r.debt, r.held, r.next, r.free_at, r.epoch, r.u, r.k, r.burst, r.version, r.text, r.note,
      r.off, r.changed, r.ended, r.failed, r.slow))
end

-- The bucket of a limit that is new to this epoch. Numbers of chunks go on with the clock, so that none comes twice.
local function begin(r)
  call('UNLINK', ENDS, TOKENS)
  r.clock, r.real, r.held, r.epoch = real, real, 0, epoch
  r.next = max(r.next, real)
  r.free_at = max(learned, real)
  r.changed = real
  r.debt = 0
  if learned > 0 then r.debt = r.burst * r.k - min(r.u * max(real - learned, 0), r.burst * r.k) end
end

-- Forgets a chunk; its unspent tokens are there again.
local function take_back(r, id, unspent)
  local tokens = tonumber(call('HGET', TOKENS, id) or -1)
  if tokens < 0 then return end
  r.debt = max(r.debt, r.held * r.k) - min(unspent, tokens) * r.k
  r.held = r.held - tokens
  call('HDEL', TOKENS, id)
  call('ZREM', ENDS, id)
end

local function tick(r)
  if r.epoch ~= epoch then return begin(r) end
  local step = max(real - r.real, 0)
  if SEEN < 0 then
    step = min(step, max(BLIND, ceil(r.k / r.u)))
  else
    local borne_out = max(SEEN + ELAPSED - r.clock, 0)
    if step > borne_out + SLACK then step = borne_out end
  end
  local since = max(r.clock, r.free_at)
  r.clock, r.real = r.clock + step, real
  if r.clock > since then r.debt = max(r.debt - r.u * (r.clock - since), 0) end
  r.debt = max(r.debt, r.held * r.k)
  local ended = call('ZRANGEBYSCORE', ENDS, '-inf', string.format('(%.0f', r.clock), 'LIMIT', 0, 1000)
  for _, id in ipairs(ended) do take_back(r, id, 0) end
end

-- The limit; one that is not there begins as told, or is nothing.
local function limit(u, k, burst, text)
  local record = call('HGET', RATES, 'r\1' .. NAME)
  if not record and not u then return nil end
  local r = record and limit_from(record)
    or { next = 0, epoch = 0, u = tonumber(u), k = tonumber(k), burst = tonumber(burst), text = text, version = 0, note = '',
      off = text == '' and 1 or 0, changed = 0, ended = 0, failed = 0, slow = 0 }
  tick(r)
  return r
end

-- Continues with another quota, or, where `text` is empty, with none; the bucket is kept then. No change creates a token: what was
-- there is there, less a unit for the rounding. What jobs came to before does not count any more.
local function change(r, u, k, burst, text)
  r.off = text == '' and 1 or 0
  if text ~= '' then
    local there = r.burst * r.k - r.debt
    local whole = floor(there / r.k)
    local part = max(floor((there - whole * r.k) / r.k * k) - 1, 0)
    -- A debt of more than a century is not told exactly.
    local has = max(min(min(whole, burst) * k + part, (burst - min(r.held, burst)) * k), -2 ^ 52)
    r.u, r.k, r.burst, r.text = u, k, burst, text
    r.debt = burst * k - has
  end
  r.version, r.changed = r.version + 1, r.clock
  r.ended, r.failed, r.slow = 0, 0, 0
end

-- A limit as others see it, given its debt and its clock.
local function shown(name, r, debt, clock)
  local text = r.off == 1 and '' or r.text
  local tokens = max(floor((r.burst * r.k - debt) / r.k), 0)
  return { name, text, r.burst, r.version, tokens, r.held, r.note, r.ended, r.failed, r.slow, max(clock - r.changed, 0) }
end
