-- KEYS  job
-- Returns the fields of the job's hash. Changes nothing.
if not has_job(KEYS[1]) then return refuse('NOJOB') end
return redis.call('HGETALL', KEYS[1])
