-- KEYS  job, running
-- ARGV  prefix of task keys
-- Returns the rows of all running tasks. Changes nothing.
local job, running = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
return running_rows(running, ARGV[1], -1)
