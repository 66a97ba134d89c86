-- KEYS  job, lanes
-- Returns {number of the last step, 1 if the scan is finished, {lane number, packed lane}...}.
-- Changes nothing.
local job, lanes = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
return {number_at(job, 'seq'), number_at(job, 'scan'), redis.call('HGETALL', lanes)}
