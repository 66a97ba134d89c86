-- KEYS  job, running, task
-- ARGV  task id, fence
-- Returns the state of the job. Changes nothing.
local job, running, task = unpack(KEYS)
local id, fence = unpack(ARGV)
if not is_live(running, task, id, fence) then return refuse('STALE') end
return redis.call('HGET', job, 'state')
