-- Unlinks every key of a namespace, as a loss of the store does for all. ARGV: a pattern. For tests: it looks at all keys.
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end
