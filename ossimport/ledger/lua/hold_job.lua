-- Takes or renews the lease on a job.
-- KEYS  job, hold
-- ARGV  holder, lease in ms
-- Returns 1, or 0 while another holder's lease lives.
local job, hold = unpack(KEYS)
local holder, lease_ms = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
local held = redis.call('GET', hold)
if held and held ~= holder then return 0 end
redis.call('SET', hold, holder, 'PX', lease_ms)
return 1
