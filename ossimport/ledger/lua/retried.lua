-- Says that the retries up to a number have been put back into tasks.
-- KEYS  job
-- ARGV  the number
local job = KEYS[1]
if not has_job(job) then return refuse('NOJOB') end
if tonumber(ARGV[1]) > number_at(job, 'retries_done') then
  redis.call('HSET', job, 'retries_done', ARGV[1])
end
