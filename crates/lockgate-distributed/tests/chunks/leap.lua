-- Makes the server's clock look as if it had leapt by ARGV[2] seconds since the last call about the limit ARGV[1]: what it showed
-- then is written down as that much earlier. KEYS: 1 rates. Returns 1, or 0 when there is no such limit.
local record = redis.call('HGET', KEYS[1], 'r\1' .. ARGV[1])
if not record then return 0 end
local fields = { cmsgpack.unpack(record) }
fields[2] = fields[2] - tonumber(ARGV[2]) * 1000000
redis.call('HSET', KEYS[1], 'r\1' .. ARGV[1], cmsgpack.pack(unpack(fields)))
return 1
