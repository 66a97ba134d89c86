-- Lets a Running job wait because one of its ends refuses everything.
-- KEYS  job
-- ARGV  reason
-- Returns for how many ms it has done so: from the first call since it waited for nothing, or for
-- something else (set_state). 0 if it is not Running.
local job = KEYS[1]
if not has_job(job) then return refuse('NOJOB') end
local state, reason = unpack(redis.call('HMGET', job, 'state', 'reason'))
if state ~= 'Running' then return 0 end
if not reason or reason == '' then redis.call('HDEL', job, 'outage') end
local now = whole(now_ms())
redis.call('HSETNX', job, 'outage', now)
redis.call('HSET', job, 'reason', ARGV[1])
return math.max(0, tonumber(now) - number_at(job, 'outage'))
