-- Turns pending tasks, oldest first, into dispatched ones.
-- KEYS  job, pending, dispatched
-- ARGV  how many at most
-- Returns their ids; none while the job is not Running.
local job, pending, dispatched = unpack(KEYS)
local state = redis.call('HGET', job, 'state')
if not state then return refuse('NOJOB') end
if state ~= 'Running' then return {} end
local ids = redis.call('ZRANGEBYSCORE', pending, '-inf', '+inf', 'LIMIT', 0, ARGV[1])
local now = whole(now_ms())
for _, id in ipairs(ids) do
  redis.call('ZREM', pending, id)
  redis.call('ZADD', dispatched, now, id)
end
return ids
