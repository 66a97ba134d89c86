-- Says that all lanes are finished.
-- KEYS  job, lanes
local job, lanes = unpack(KEYS)
if not has_job(job) then return redis.error_reply('NOJOB') end
redis.call('HSET', job, 'scan', 1)
redis.call('DEL', lanes)
