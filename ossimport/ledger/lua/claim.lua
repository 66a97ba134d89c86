-- Claims a pending or dispatched task, or a running one that its holder has lost: the lease has run
-- out, or the holder was seen dead, or it is this very worker asking again after a lost reply.
-- KEYS  job, pending, dispatched, running, task, uploads, outbox, lent, returned
-- ARGV  task id, worker, lease in ms, fence of the holder seen dead (0 = none)
-- Returns {'claimed', fence, fields of the task, {index, packed upload}..., {index of the object whose
-- parts were lent, its packed upload}, {packed part}... that others made of it}; {'held', worker, fence}
-- when another holder is live; or nil when the task has ended or the job is not Running.
local job, pending, dispatched, running, task, uploads, outbox, lent, returned = unpack(KEYS)
local id, worker, lease_ms, dead = unpack(ARGV)
if redis.call('HGET', job, 'state') ~= 'Running' then return end
local now = now_ms()
local deadline = redis.call('ZSCORE', running, id)
if deadline then
  local holder, fence = unpack(redis.call('HMGET', task, 'worker', 'fence'))
  if tonumber(deadline) > now and fence ~= dead and holder ~= worker then
    return {'held', holder, fence}
  end
elseif redis.call('ZREM', pending, id) + redis.call('ZREM', dispatched, id) == 0 then
  return
end
local fence = next_fence(job)
redis.call('HSET', task, 'fence', fence, 'worker', worker)
redis.call('HDEL', task, 'offered', 'helpers')
redis.call('HINCRBY', task, 'claims', 1)
redis.call('ZADD', running, whole(now + lease_ms), id)
tell(outbox, 'claimed', id, 'worker', worker)
return {'claimed', fence, redis.call('HGETALL', task), redis.call('HGETALL', uploads),
  redis.call('HMGET', lent, 'index', 'upload'), redis.call('LRANGE', returned, 0, -1)}
