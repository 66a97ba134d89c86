-- KEYS  jobs
-- Returns the names of all jobs, oldest first. Changes nothing.
return redis.call('ZRANGE', KEYS[1], 0, -1)
