-- Makes a running task pending again, whatever its lease says.
-- KEYS  job, pending, running, task, outbox
-- ARGV  task id, fence
-- Returns 1, or 0 if the fence is not the task's claim any more.
local job, pending, running, task, outbox = unpack(KEYS)
local id, fence = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
if not is_live(running, task, id, fence) then return 0 end
hand_back(pending, running, task, outbox, id)
return 1
