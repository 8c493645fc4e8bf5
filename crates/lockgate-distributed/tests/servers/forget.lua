-- Deletes every key of a namespace, as a loss of the store does for all keys. ARGV: a pattern. Only for
-- tests, since it reads all keys.
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end
