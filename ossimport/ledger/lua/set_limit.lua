-- Sets or removes a limit. The version grows, also if the server has lost the one before.
-- KEYS  limits, job, the job's limits
-- ARGV  scope in `limits`, '' for the job's; the limit, '' to remove it
local limits, job, job_limits = unpack(KEYS)
local scope, text = unpack(ARGV)
if scope == '' and not has_job(job) then return refuse('NOJOB') end
if scope ~= '' and text ~= '' then
  redis.call('HSET', limits, scope, text)
elseif scope ~= '' then
  redis.call('HDEL', limits, scope)
elseif text ~= '' then
  redis.call('SET', job_limits, text)
else
  redis.call('DEL', job_limits)
end
redis.call('HSET', limits, 'version', whole(math.max(number_at(limits, 'version') + 1, now_ms())))
