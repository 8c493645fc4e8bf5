-- The desk: what each operation begins with. Every script is this file, what is easy of the operation when it has such a part
-- (`quick_acquire.lua` and `quick_enqueue.lua`, `quick_release.lua` and `quick_grant.lua`), `books.lua`, `loss.lua`, `line.lua`,
-- `grant.lua`, and the operation; before it, `session.lua` when a session calls, `pool.lua` when it is about pools.
--
-- KEYS, all with the hash tag of the namespace, none with an expiry of Redis; times are virtual ms, "\1" and "\2" separate
-- (no name holds a control character), records are packed with struct (see below) or, where they are seldom read, cmsgpack:
--   1 state      HASH  "store 2" -> the store's own record (2 is the format of all that is here: to scripts of another one there is
--                      no state, so it is lost, and learned again), "sets" -> {set of pools = lines that wait for it},
--                      "p" \1 pool -> the pool's record, "s" \1 session -> "1" (listens), "0" (does not) or "2" (did, and is
--                      gone), then the name of its process; "a" \1 pool -> the advice of the adaptive limit: slots, 1 when it is
--                      enforced, since when, why; "c" \1 pool -> slots and most of one tenant (-1: all) by the config, slots
--                      that were set, slots of a ramp step (-1: no ramp); "pauses" -> {pool = until when}; "drains" ->
--                      {pool = how long backend work on it may outlive its process}; "recovery" -> when the last recovery began;
--                      "moves" -> {pool = the last of its heads that was moved since its cap was changed};
--                      "unstrand" -> "1": more waiters are to move back, see line.lua
--   2 leases     HASH  lease -> its record, draining ones included
--   3 waiters    HASH  lease -> its record
--   4 deadlines  ZSET  session by the time when it is dead; and the marker "", see loss.lua
--   5 draining   ZSET  lease by the time when it has drained
--   6 members    ZSET  session \1 lease, score 0: what a session holds (draining left out) and waits for
--   7 firsts     HASH  set \1 tenant -> the first of that line
--   8 behind     ZSET  set \1 tenant \1 ticket \1 lease, score 0: who stands behind the first
--   9 heads      ZSET  set \1 e|p \1 share \1 ticket \1 tenant, score 0: the firsts in their order; e: eligible, p: passed
--                      over, its tenant being at its cap. Who is stranded is in a set of its own: see line.lua
--  10 uses       HASH  pool \1 tenant -> slots in use; and the marker ""
--  11 shares     HASH  pool \1 tenant -> its own cap (-1: none) and weight; and the marker ""
--  12 record     LIST  what ended, oldest first, behind its own beginning:
--                      "b": from here on it is whole; "h": a hold that ended; "l": a limit that was changed
--
-- ARGV, of each operation: 1 ttl ms, 2 longest step of the clock ms, 3 who the server is (run id and replication id),
-- 4 "0", or when the caller has just read that again, "1", or "2" when the server says that its data never came from another one, 5 the session (or ""), 6 the channel of a session without its id,
-- 7 "1" when the session listens, 8 the field in `state` of the pool that the call is likely to be about (or ""). The operation's
-- own begin at 9.
--
-- Returns {"identity"}, with nothing changed, when the state is another server's and 4 is "0"; else {"ok", what the operation says,
-- grants to the caller's own session}, and the names of lost keys when a loss was detected.
--
-- Keeps: the clock neither leaps nor goes back; numbers never go back; after a loss nothing is granted for one ttl, and the record
-- begins anew.
--
-- A function costs when it is made, by each local of others that it uses, a table when it is filled, and a number when it becomes
-- the text of an argument. Up to the end of the easy part there is none of them, where it can be helped. cmsgpack takes twice as long to
-- pack as struct.
local STATE, LEASES, MEMBERS, USES, RECORD = KEYS[1], KEYS[2], KEYS[6], KEYS[10], KEYS[12]
local call, floor, pack, unpacked = redis.call, math.floor, cmsgpack.pack, cmsgpack.unpack
local write, read = struct.pack, struct.unpack
local TTL, SELF = tonumber(ARGV[1]), ARGV[5]
-- The field of the store's record: its number is that of the format of all records below. Raise it with any change of them.
local STORE_FIELD = 'store 2'
-- clock, server's time, fence, ticket, learning until, waiting, leases, due, identity
local STORE = '<dddddddds'
-- slots (that are allowed: as they were set, or fewer during a ramp), per tenant, version, epoch, peak, hold, held, draining,
-- waiting, shares, open (the slots that grants obey: none while the pool is paused), paused (until when; 0: it is not)
local POOL = '<dddddddddddd'
-- since when, number, draining (until when; 0: it is not), stop (1: its holder is asked to), longest drain, session, tenant, process (once
-- it drains), request; then its needs, of each pool as NEED
local LEASE, LEASE_OF_ONE = '<dddddssss', '<dddddsssssd'
-- ticket, since when, longest drain, session, tenant, set, request; then its needs
local WAITER, WAITER_OF_ONE = '<dddssss', '<dddsssssd'
-- ticket, share, eligible (1: it is), how many stand behind it, lease; then its needs
local FIRST, FIRST_OF_ONE = '<dddds', '<ddddssd'
-- pool, weight
local NEED = '<sd'
-- Entries of the record: "b", "h" or "l", the last fence that was given out by then, server's ms; then
-- serial (the entry at index i has it + i)
local BEGUN = '<sddd'
-- fence, lease, how it ended; then its needs
local ENDED, ENDED_OF_ONE = '<sdddss', '<sdddsssd'
-- limit before, limit from then on, pool
local LIMITED = '<sdddds'
-- Entries that the record keeps, and how long it may become before the oldest are forgotten.
local KEPT = 100000
local LONGEST = KEPT + 1001

-- Of the state: the store's record, the sets, the session's record, and the likely pool's.
local raw = call('HMGET', STATE, STORE_FIELD, 'sets', 's\1' .. SELF, ARGV[8])
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local real = floor(micros / 1000)
-- Whether the state is lost, or was never there.
local lost = not raw[1]
local now, before, fence, ticket, learning, waiting, leases, due, identity
if lost then
  -- Whatever is left of it would be a part of the truth.
  call('UNLINK', unpack(KEYS))
  raw = {}
  now, fence, ticket, learning, waiting, leases, due = real, 0, 0, -1, 0, 0, math.huge
else
  now, before, fence, ticket, learning, waiting, leases, due, identity = read(STORE, raw[1])
  if identity ~= ARGV[3] then
    if ARGV[4] == '0' then return { 'identity' } end
    -- Another server, or this one started again: what it has may be older than what was granted. A replica or a backup that
    -- attaches changes only the replication id, and nothing was lost.
    if ARGV[4] ~= '2' or string.match(identity, '^[^:]*') ~= string.match(ARGV[3], '^[^:]*') then learning = -1 end
    identity = ARGV[3]
  end
  if real > before then now = now + math.min(real - before, tonumber(ARGV[2])) end
end
local recovers = learning < 0
if recovers then
  -- From now on nothing is granted for one ttl, while holders register again.
  learning = now + TTL
  due = math.min(due, learning)
  call('UNLINK', RECORD)
  call('RPUSH', RECORD, write(BEGUN, 'b', lost and micros - 1 or fence, real, micros))
end
-- What the easy part leaves to the general way: the pool that it has changed, its record then, and whether it changed the sets.
local changed, changed_to, sets_changed
-- Grants to the caller's own session: told in the answer, not pushed.
local told = {}
-- What goes on record at the end of the call.
local ended
