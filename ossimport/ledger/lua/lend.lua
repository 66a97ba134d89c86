-- Offers parts of a large object to other workers, or takes the offer back.
-- KEYS  running, task, lent, offer, returned
-- ARGV  task id, fence, object index, packed upload ('' = offer nothing any more), part numbers
-- What was offered before is forgotten, and all loans of it are stale.
local running, task, lent, offer, returned = unpack(KEYS)
local id, fence, index, upload = unpack(ARGV, 1, 4)
if not is_live(running, task, id, fence) then return refuse('STALE') end
redis.call('UNLINK', lent, offer, returned)
if upload == '' then
  redis.call('HDEL', task, 'offered', 'helpers')
  return
end
redis.call('HSET', lent, 'claim', fence, 'index', index, 'upload', upload)
for at = 5, #ARGV do
  redis.call('ZADD', offer, ARGV[at], ARGV[at])
end
sum_up_loans(task, offer, 0)
