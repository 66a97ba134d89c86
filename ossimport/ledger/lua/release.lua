-- Hands a task back: it is pending again, its outcomes kept.
-- KEYS  pending, running, task, outbox
-- ARGV  task id, fence, 0 if the claim says nothing against the task
-- A claim that was handed back before changes nothing.
local pending, running, task, outbox = unpack(KEYS)
local id, fence, counts = unpack(ARGV)
if not is_live(running, task, id, fence) then
  if redis.call('HGET', task, 'freed') == fence then return end
  return refuse('STALE')
end
hand_back(pending, running, task, outbox, id)
redis.call('HSET', task, 'freed', fence)
if counts == '0' and number_at(task, 'claims') > 1 then redis.call('HINCRBY', task, 'claims', -1) end
