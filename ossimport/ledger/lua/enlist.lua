-- Says that a worker is there, and forgets those whose lease has run out.
-- KEYS  workers
-- ARGV  "slots worker", lease in ms
local workers = KEYS[1]
local entry, lease_ms = unpack(ARGV)
redis.call('ZADD', workers, whole(now_ms() + lease_ms), entry)
redis.call('ZREMRANGEBYSCORE', workers, '-inf', whole(now_ms()))
