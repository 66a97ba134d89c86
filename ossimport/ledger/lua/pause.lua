-- Sets a Running job Paused. Its dispatched tasks are pending again: their messages will be refused.
-- KEYS  job, pending, dispatched
-- ARGV  prefix of task keys
-- Returns 1, or 0 if the job is not Running.
local job, pending, dispatched = unpack(KEYS)
local state = redis.call('HGET', job, 'state')
if not state then return refuse('NOJOB') end
if state ~= 'Running' then return 0 end
redis.call('HSET', job, 'state', 'Paused', 'objects_per_s', 0, 'bytes_per_s', 0)
for _, id in ipairs(redis.call('ZRANGE', dispatched, 0, -1)) do
  redis.call('ZADD', pending, redis.call('HGET', ARGV[1] .. id, 'order'), id)
end
redis.call('DEL', dispatched)
return 1
