-- The beginning of every script: declares the format of the state, reads what every operation needs, and
-- advances the clock.
--
-- A script consists of this file, the fast path of the operation if it has one (`fast_acquire.lua` and
-- `fast_enqueue.lua`, `fast_release.lua` and `fast_grant.lua`), `pools_and_leases.lua`, `recovery.lua`, the
-- files of the wait queue, `grant.lua`, `expiry.lua`, then `session.lua` for calls of a session or `pool.lua`
-- for operations on pools, and the operation itself.
--
-- KEYS. All have the hash tag of the namespace; none expires by Redis. Times are virtual ms. "\1" and "\2"
-- separate parts, since no name contains a control character. Entries are encoded with struct (see below),
-- and with cmsgpack where they are seldom read.
--   1 state      HASH  "store 2"       the counters of the store. 2 is the version of the format of
--                                      everything here. A script of another version finds no state, so it
--                                      treats the state as lost and recovers
--                      "sets"          {set of pools = its number of tenant queues}
--                      "p" \1 pool     the pool
--                      "s" \1 session  "1" (listens), "0" (does not) or "2" (listened, and is disconnected),
--                                      then the name of its process
--                      "a" \1 pool     recommendation of the adaptive limit: slots, 1 when it is enforced,
--                                      since when, reason
--                      "c" \1 pool     configured slots, configured cap of each tenant (-1: none), slots that
--                                      were set, slots of a ramp step (-1: no ramp)
--                      "pauses"        {pool = until when}
--                      "drains"        {pool = how long backend work on it may outlive its process}
--                      "recovery"      when the last recovery began
--                      "moves"         {pool = the last of its heads that was moved since its cap was
--                                      changed}
--                      "unstrand"      "1" while more waiters have to move back, see head_updates.lua
--   2 leases     HASH  lease -> the lease, also while it drains
--   3 waiters    HASH  lease -> the waiter
--   4 deadlines  ZSET  session by the time of its death; and the marker "", see recovery.lua
--   5 draining   ZSET  lease by the end of its drain
--   6 members    ZSET  session \1 lease, score 0: what a session holds (draining leases excluded) and waits
--                      for
--   7 firsts     HASH  set \1 tenant -> the head of this tenant queue
--   8 behind     ZSET  set \1 tenant \1 ticket \1 lease, score 0: the waiters behind the heads
--   9 heads      ZSET  set \1 e|p \1 share \1 ticket \1 tenant, score 0: the heads in order. e: eligible; p:
--                      passed over, because the tenant is at its cap. Stranded waiters are in sets of their
--                      own, see wait_queue.lua
--  10 uses       HASH  pool \1 tenant -> slots in use; and the marker ""
--  11 shares     HASH  pool \1 tenant -> its own cap (-1: none) and weight; and the marker ""
--  12 record     LIST  the history, oldest entry first: "b", since when it is complete; then "h", a hold that
--                      ended, or "l", a change of slots
--
-- ARGV of each operation:
--   1 ttl (ms)
--   2 longest step of the clock (ms)
--   3 identity of the server: run id and replication id
--   4 "0"; "1" when the caller has just read the identity again; "2" when also the server reports that its
--     data never came from another server
--   5 the session, or ""
--   6 the prefix of the channels of sessions
--   7 "1" when the session listens
--   8 the field in `state` of the pool that the call is probably about, or ""
--   9 and later: those of the operation
--
-- Returns {"identity"}, with nothing changed, when the state is another server's and ARGV[4] is "0".
-- Otherwise {"ok", the answer of the operation, grants to the caller's own session}, followed by the names of
-- lost keys when a loss was detected.
--
-- Keeps: the clock neither leaps nor goes back; numbers never go back; after a loss nothing is granted for
-- one ttl, and the history starts again.
--
-- Performance: creating a function costs time for each outer local that it uses; filling a table and
-- converting a number to text for an argument cost time too. The prologue and the fast paths avoid all three
-- where they can. cmsgpack takes twice as long to encode as struct.
local STATE, LEASES, MEMBERS, USES, HISTORY = KEYS[1], KEYS[2], KEYS[6], KEYS[10], KEYS[12]
local call, floor, pack, unpacked = redis.call, math.floor, cmsgpack.pack, cmsgpack.unpack
local write, read = struct.pack, struct.unpack
local TTL, SELF = tonumber(ARGV[1]), ARGV[5]
-- The field of the store's counters. Its number is the version of all formats below: raise it with any change
-- of them.
local STORE_FIELD = 'store 2'
-- clock, server time at the last call (ms), fence, ticket, end of the recovery grace period (0: none),
-- waiting, leases, due (of the next sweep), identity
local STORE = '<dddddddds'
-- slots (as they were set, or fewer during a ramp), cap of each tenant, version, epoch, peak, average hold
-- (ms), held, draining, waiting, shares, open (the slots that grants obey: 0 while the pool is paused),
-- paused (until when; 0: it is not)
local POOL = '<dddddddddddd'
-- since when, fence, draining (until when; 0: it is not), stop (1: its holder is asked to), longest drain,
-- session, tenant, process (once it drains), request; then its needs, each pool as NEED
local LEASE, LEASE_ONE_POOL = '<dddddssss', '<dddddsssssd'
-- ticket, since when, longest drain, session, tenant, set, request; then its needs
local WAITER, WAITER_ONE_POOL = '<dddssss', '<dddsssssd'
-- ticket, share, eligible (1: it is), number of waiters behind it, lease; then its needs
local HEAD, HEAD_ONE_POOL = '<dddds', '<ddddssd'
-- pool, weight
local NEED = '<sd'
-- Entries of the history begin with "b", "h" or "l", the last fence that was given out by then, and the
-- server time (ms). The start continues with a serial: the entry at index i has this serial + i.
local HISTORY_START = '<sddd'
-- A hold that ended: fence, lease, how it ended; then its needs
local HOLD_ENTRY, HOLD_ENTRY_ONE_POOL = '<sdddss', '<sdddsssd'
-- A change of slots: slots before, slots from then on, pool
local SLOTS_ENTRY = '<sdddds'
-- Entries that the history keeps, and how long it may become before the oldest are dropped.
local HISTORY_KEPT = 100000
local HISTORY_MAX = HISTORY_KEPT + 1001

-- From the state: the counters of the store, the sets, the session, and the pool that the call is probably
-- about.
local raw = call('HMGET', STATE, STORE_FIELD, 'sets', 's\1' .. SELF, ARGV[8])
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local server_ms = floor(micros / 1000)
-- Whether the state is lost, or never existed.
local state_lost = not raw[1]
local now, before, fence, ticket, recovering_until, waiting, leases, due, identity
if state_lost then
  -- Remaining keys would hold only a part of the truth.
  call('UNLINK', unpack(KEYS))
  raw = {}
  now, fence, ticket, recovering_until, waiting, leases, due = server_ms, 0, 0, -1, 0, 0, math.huge
else
  now, before, fence, ticket, recovering_until, waiting, leases, due, identity = read(STORE, raw[1])
  if identity ~= ARGV[3] then
    if ARGV[4] == '0' then return { 'identity' } end
    -- Another server, or this one after a restart: its data may be older than what was granted. A replica or
    -- a backup that attaches changes only the replication id, and nothing was lost.
    if ARGV[4] ~= '2' or string.match(identity, '^[^:]*') ~= string.match(ARGV[3], '^[^:]*') then recovering_until = -1 end
    identity = ARGV[3]
  end
  if server_ms > before then now = now + math.min(server_ms - before, tonumber(ARGV[2])) end
end
local starts_recovery = recovering_until < 0
if starts_recovery then
  -- From now on nothing is granted for one ttl, while holders register their leases again.
  recovering_until = now + TTL
  due = math.min(due, recovering_until)
  call('UNLINK', HISTORY)
  call('RPUSH', HISTORY, write(HISTORY_START, 'b', state_lost and micros - 1 or fence, server_ms, micros))
end
-- What the fast path hands to the general path: the name and the entry of the pool that it changed, and
-- whether it changed the sets.
local fast_pool, fast_entry, sets_changed
-- Grants to the caller's own session. They are returned, not pushed.
local own_grants = {}
-- Entries that are appended to the history at the end of the call.
local history
