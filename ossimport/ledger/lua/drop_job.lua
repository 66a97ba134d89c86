-- Gives the lease on a job back, if the caller has it.
-- KEYS  job, hold
-- ARGV  holder
local job, hold = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
if redis.call('GET', hold) == ARGV[1] then redis.call('DEL', hold) end
