-- Hands a task back: it is pending again, its outcomes kept.
-- KEYS  pending, running, task, outbox
-- ARGV  task id, fence
-- A claim that was handed back before changes nothing.
local pending, running, task, outbox = unpack(KEYS)
local id, fence = unpack(ARGV)
if not is_live(running, task, id, fence) then
  if redis.call('HGET', task, 'freed') == fence then return end
  return refuse('STALE')
end
hand_back(pending, running, task, outbox, id)
redis.call('HSET', task, 'freed', fence)
