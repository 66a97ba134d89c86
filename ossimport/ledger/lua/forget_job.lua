-- Removes every trace of a job. An unknown job is forgotten already.
-- KEYS  jobs, pending, dispatched, running, uploading, then all other keys of the job
-- ARGV  name, prefix of uploads keys, then all other prefixes of keys of a task
-- One step, so that nobody ever sees half a job. UNLINK leaves freeing the memory to Redis's
-- background thread: ten thousand tasks take some ten milliseconds here.
local jobs, pending, dispatched, running, uploading = unpack(KEYS, 1, 5)
local name, uploads_prefix = unpack(ARGV, 1, 2)
unlink_tasks({pending, dispatched, running}, 3)
for _, id in ipairs(redis.call('SMEMBERS', uploading)) do
  redis.call('UNLINK', uploads_prefix .. id)
end
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('ZREM', jobs, name)
