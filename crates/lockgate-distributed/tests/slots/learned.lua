-- Ends the learning of a store that is known to be new. KEYS: state.
local store = { cmsgpack.unpack(redis.call('HGET', KEYS[1], 'store')) }
store[5] = 0
redis.call('HSET', KEYS[1], 'store', cmsgpack.pack(unpack(store)))
