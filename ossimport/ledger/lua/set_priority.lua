-- Says whose tasks are dispatched first.
-- KEYS  job
-- ARGV  the priority
local job = KEYS[1]
if not has_job(job) then return refuse('NOJOB') end
redis.call('HSET', job, 'priority', ARGV[1])
