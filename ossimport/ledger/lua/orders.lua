-- KEYS  job, running, task
-- ARGV  task id, fence
-- Returns {state of the job, how many others would take a share of the task}. Changes nothing.
local job, running, task = unpack(KEYS)
local id, fence = unpack(ARGV)
if not is_live(running, task, id, fence) then return refuse('STALE') end
local wanted = number_at(task, 'share_until') > now_ms()
return {redis.call('HGET', job, 'state'), wanted and number_at(task, 'share') or 0}
