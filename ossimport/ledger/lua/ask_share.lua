-- Tells the holder of a task that others would take a share of it.
-- KEYS  job, running, task
-- ARGV  task id, fence, how many others, for how many ms
local job, running, task = unpack(KEYS)
local id, fence, takers, for_ms = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
if not is_live(running, task, id, fence) then return end
redis.call('HSET', task, 'share', takers, 'share_until', whole(now_ms() + for_ms))
