-- KEYS  limits, jobs
-- ARGV  what a job's name stands between in the key of its limits
-- Returns {{scope, text...}, {job, text...}}. Changes nothing.
local limits, jobs = unpack(KEYS)
local before, behind = unpack(ARGV)
local of_jobs = {}
for _, name in ipairs(redis.call('ZRANGE', jobs, 0, -1)) do
  local text = redis.call('GET', before .. name .. behind)
  if text then
    of_jobs[#of_jobs + 1] = name
    of_jobs[#of_jobs + 1] = text
  end
end
return {redis.call('HGETALL', limits), of_jobs}
