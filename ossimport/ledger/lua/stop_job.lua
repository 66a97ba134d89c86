-- Hands a task back and sets a Running job Abort.
-- KEYS  job, pending, running, task, outbox
-- ARGV  task id, fence, reason
-- The first reason stays. A claim that was handed back before changes nothing.
local job, pending, running, task, outbox = unpack(KEYS)
local id, fence, reason = unpack(ARGV)
if not is_live(running, task, id, fence) then
  if redis.call('HGET', task, 'freed') == fence then return end
  return refuse('STALE')
end
hand_back(pending, running, task, outbox, id)
redis.call('HSET', task, 'freed', fence)
if redis.call('HGET', job, 'state') == 'Running' then
  redis.call('HSET', job, 'state', 'Abort', 'reason', reason, 'ended', whole(now_ms()))
end
