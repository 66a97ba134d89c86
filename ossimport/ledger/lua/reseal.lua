-- Replaces a job's sealed settings.
-- KEYS  job
-- ARGV  settings
local job = KEYS[1]
if not has_job(job) then return refuse('NOJOB') end
redis.call('HSET', job, 'settings', ARGV[1])
