-- Returns the average hold of pool ARGV[1] in ms; -1 when it is not known. KEYS: state.
return select(6, struct.unpack('<dddddd', redis.call('HGET', KEYS[1], 'p\1' .. ARGV[1])))
