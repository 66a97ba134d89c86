-- KEYS  job, dispatched
-- ARGV  age in ms
-- Returns the ids of the tasks that were dispatched at least that long ago. Changes nothing.
local job, dispatched = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
return redis.call('ZRANGEBYSCORE', dispatched, '-inf', whole(now_ms() - ARGV[1]))
