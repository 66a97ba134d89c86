-- Ends a task. Its record is freed; what the same claim needs to end it twice is kept in `ended`.
-- KEYS  job, running, ended, task, outbox, then what is kept of parts that were lent
-- ARGV  task id, fence, state
-- STALE too if an object has no outcome: Redis lost the flush that told of it, and the task must be
-- claimed anew so that the object is done again.
local job, running, ended, task, outbox = unpack(KEYS, 1, 5)
local id, fence, state = unpack(ARGV)
local ending = fence .. ' ' .. state .. ' '
if not is_live(running, task, id, fence) then
  local last = redis.call('HGET', ended, id)
  if last and string.sub(last, 1, #ending) == ending then return end
  return refuse('STALE')
end
if number_at(task, 'objects') ~= number_at(task, 'marked') then return refuse('STALE') end
local log = whole(number_at(task, 'log'))
tell(outbox, 'ended', id, 'worker', redis.call('HGET', task, 'worker'),
  'offset', log, 'state', state)
redis.call('ZREM', running, id)
redis.call('UNLINK', task, unpack(KEYS, 6))
redis.call('HSET', ended, id, ending .. log)
redis.call('HINCRBY', job, 'tasks_' .. state, 1)
