-- Closes or reopens a job. The time of closing is that of the first close since it was open;
-- a round that is over stays so.
-- KEYS  job
-- ARGV  state, reason, the only state to change ('' = any)
-- Returns 1, or 0 if the job is in another state than that.
local job = KEYS[1]
local state, reason, only_if = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
if only_if ~= '' and redis.call('HGET', job, 'state') ~= only_if then return 0 end
redis.call('HSET', job, 'state', state, 'reason', reason)
redis.call('HDEL', job, 'outage')
if state == 'Running' then
  if number_at(job, 'next_round') == 0 then redis.call('HDEL', job, 'ended') end
else
  redis.call('HSETNX', job, 'ended', whole(now_ms()))
end
return 1
