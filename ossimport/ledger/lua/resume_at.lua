-- Sets the scan's place in a job that was rebuilt.
-- KEYS  job, lanes, unlisted, restored
-- ARGV  step number, 1 if the scan is finished, what apply_scan takes
-- Changes nothing if the job has planned a step.
local job, lanes, unlisted, restored = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
if number_at(job, 'seq') > 0 then return end
redis.call('HSET', job, 'seq', ARGV[1], 'scan', ARGV[2])
apply_scan(job, lanes, unlisted, 3)
redis.call('UNLINK', restored)
