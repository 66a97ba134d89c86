-- Says that all lanes are finished.
-- KEYS  job, lanes
local job, lanes = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
redis.call('HSET', job, 'scan', 1)
redis.call('DEL', lanes)
