-- Makes an ended, failed task pending again: its failed objects are left again.
-- KEYS  job, pending, ended, task
-- ARGV  id, manifest, objects, bytes, marks, how many objects are marked, failed objects, their
--       bytes, length of its log
-- Changes nothing if the task is pending, dispatched or running, or is known to have succeeded.
local job, pending, ended, task = unpack(KEYS)
local id, manifest, objects, bytes, marks, marked, failed, failed_bytes, log = unpack(ARGV, 1, 9)
if not has_job(job) then return refuse('NOJOB') end
local last = redis.call('HGET', ended, id)
if redis.call('EXISTS', task) == 1 or last and string.find(last, ' succeed ', 1, true) then
  return
end
if last then
  -- Log text that the master has not drained yet counts too, or the next would overwrite it.
  log = whole(math.max(log, tonumber(string.match(last, '%d+$'))))
  redis.call('HDEL', ended, id)
end
enqueue(job, pending, task, id, 'manifest', manifest, 'objects', objects, 'bytes', bytes,
  'marks', marks, 'marked', marked, 'marked_bytes', whole(bytes - failed_bytes), 'log', log,
  'claims', 1)
redis.call('HINCRBY', job, 'failed', -failed)
redis.call('HINCRBY', job, 'failed_bytes', '-' .. failed_bytes)
redis.call('HINCRBY', job, 'tasks_failed', -1)
