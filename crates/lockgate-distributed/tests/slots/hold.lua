-- The average time that slots of pool ARGV[1] are held, in ms; -1: not known. KEYS: state.
return select(6, struct.unpack('<dddddd', redis.call('HGET', KEYS[1], 'p\1' .. ARGV[1])))
