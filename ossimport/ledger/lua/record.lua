-- Adds a flush: the marks, the counters and the log text.
-- KEYS  job, running, task, outbox
-- ARGV  task id, fence, flush number, marks, how many objects are marked, objects and bytes that
--       the flush adds to them, moving bytes, log, length of its text, {counter, delta}...
-- A flush seen before changes nothing. STALE if the flush before is missing: Redis lost it, and the
-- task must be claimed anew so that its objects are done again. SUMS if the marks and the
-- number of objects disagree.
local job, running, task, outbox = unpack(KEYS)
local id, fence, number, marks, marked, objects, bytes, moving, log, log_size = unpack(ARGV, 1, 10)
if not is_live(running, task, id, fence) then return refuse('STALE') end
local flushes = number_at(task, 'flushes')
if tonumber(number) <= flushes then return end
if tonumber(number) > flushes + 1 then return refuse('STALE') end
if number_at(task, 'marked') + objects ~= tonumber(marked) then
  return refuse('SUMS')
end
redis.call('HSET', task, 'flushes', number, 'marks', marks, 'marked', marked, 'moving', moving)
redis.call('HINCRBY', task, 'marked_bytes', bytes)
add_pairs(job, 11)
if log_size ~= '0' then
  local offset = number_at(task, 'log')
  redis.call('HINCRBY', task, 'log', log_size)
  tell(outbox, 'log', id, 'offset', offset, 'log', log)
end
