-- Says that the round is over, and when the next one begins.
-- KEYS  job
-- ARGV  epoch ms
local job = KEYS[1]
if not has_job(job) then return refuse('NOJOB') end
redis.call('HSET', job, 'next_round', ARGV[1])
redis.call('HSETNX', job, 'ended', whole(now_ms()))
