-- Makes the server's clock look as if it had leapt by ARGV[2] seconds since the last call about the limit
-- ARGV[1], by moving the stored time of that call. KEYS: 1 rates. Returns 1, or 0 when the limit does not
-- exist.
local record = redis.call('HGET', KEYS[1], 'r\1' .. ARGV[1])
if not record then return 0 end
local fields = { cmsgpack.unpack(record) }
fields[2] = fields[2] - tonumber(ARGV[2]) * 1000000
redis.call('HSET', KEYS[1], 'r\1' .. ARGV[1], cmsgpack.pack(unpack(fields)))
return 1
