-- Closes or reopens a job. The time of closing is that of the first close since it was open.
-- KEYS  job
-- ARGV  state, reason
local job = KEYS[1]
local state, reason = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
redis.call('HSET', job, 'state', state, 'reason', reason)
if state == 'Running' then
  redis.call('HDEL', job, 'ended')
else
  redis.call('HSETNX', job, 'ended', whole(now_ms()))
end
