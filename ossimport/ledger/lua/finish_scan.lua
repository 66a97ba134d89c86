-- Says that all lanes are finished.
-- KEYS  job, lanes
-- ARGV  number of the last step
-- BEHIND if the job's last step is another one.
local job, lanes = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
if number_at(job, 'seq') ~= tonumber(ARGV[1]) then return refuse('BEHIND') end
redis.call('HSET', job, 'scan', 1)
redis.call('DEL', lanes)
