-- Adds a job.
-- KEYS  job, jobs
-- ARGV  name, created_ms, then pairs of field and value of the job's hash
-- EXISTS if another job has the name; the very same job (same created_ms) changes nothing.
local job, jobs = unpack(KEYS)
local name, created = unpack(ARGV, 1, 2)
local there = redis.call('HGET', job, 'created')
if there and there ~= created then return refuse('EXISTS') end
if not there then
  redis.call('HSET', job, 'created', created, unpack(ARGV, 3))
  redis.call('ZADD', jobs, created, name)
end
