-- KEYS  job
-- ARGV  objects per second, bytes per second
local job = KEYS[1]
if not has_job(job) then return refuse('NOJOB') end
redis.call('HSET', job, 'objects_per_s', ARGV[1], 'bytes_per_s', ARGV[2])
