-- Removes every trace of a job. An unknown job is forgotten already.
-- KEYS  jobs, pending, dispatched, running, uploading, then all other keys of the job
-- ARGV  name, prefix of task keys, prefix of uploads keys
-- One step, so that nobody ever sees half a job. UNLINK leaves freeing the memory to Redis's
-- background thread: ten thousand tasks take some ten milliseconds here.
local jobs, pending, dispatched, running, uploading = unpack(KEYS, 1, 5)
local name, task_prefix, uploads_prefix = unpack(ARGV)
for _, queue in ipairs({pending, dispatched, running}) do
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    redis.call('UNLINK', task_prefix .. id)
  end
end
for _, id in ipairs(redis.call('SMEMBERS', uploading)) do
  redis.call('UNLINK', uploads_prefix .. id)
end
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('ZREM', jobs, name)
