-- Ends the learning of a store that is known to be new. KEYS: state.
local format = '<dddddddds'
local store = { struct.unpack(format, redis.call('HGET', KEYS[1], 'store')) }
store[5] = 0
redis.call('HSET', KEYS[1], 'store', struct.pack(format, unpack(store, 1, 9)))
