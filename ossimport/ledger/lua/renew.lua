-- Lets the lease of a live claim run anew.
-- KEYS  job, running, task
-- ARGV  task id, fence, lease in ms
-- STALE too when the job is in Abort: its workers are to stop.
local job, running, task = unpack(KEYS)
local id, fence, lease_ms = unpack(ARGV)
if redis.call('HGET', job, 'state') == 'Abort' or not is_live(running, task, id, fence) then
  return refuse('STALE')
end
redis.call('ZADD', running, whole(now_ms() + lease_ms), id)
