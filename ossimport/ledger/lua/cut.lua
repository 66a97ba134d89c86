-- Adds a flush that gives objects away, and makes these a task of their own, pending.
-- KEYS  job, running, task, outbox, pending, the new task, uploads, the new task's uploads, uploading
-- ARGV  the flush as check_flush takes it, then of the new task: id, manifest, objects, bytes; number of uploads
--       that go with it, {number of the object here, its number there}..., {counter, delta}...
-- The objects are neither listed nor left anew: they only move.
local job, running, task, outbox, pending, part, uploads, part_uploads, uploading = unpack(KEYS)
local flush = {unpack(ARGV, 1, 10)}
local answer = check_flush(running, task, flush)
if answer ~= 'new' then return answer end
local id = ARGV[1]
local part_id, manifest, objects, bytes, count = unpack(ARGV, 11, 15)
if redis.call('EXISTS', part) == 1 then return refuse('STALE') end
if number_at(task, 'objects') <= tonumber(objects) or objects == '0' then return refuse('SUMS') end
redis.call('HINCRBY', task, 'objects', '-' .. objects)
redis.call('HINCRBY', task, 'bytes', '-' .. bytes)
redis.call('HDEL', task, 'share', 'share_until')
local order, claims = unpack(redis.call('HMGET', task, 'order', 'claims'))
redis.call('HSET', part, 'order', order, 'manifest', manifest, 'objects', objects, 'bytes', bytes,
  'claims', whole(claims - 1))
redis.call('ZADD', pending, order, part_id)
local at = 16
for _ = 1, tonumber(count) do
  local upload = redis.call('HGET', uploads, ARGV[at])
  if upload then
    redis.call('HDEL', uploads, ARGV[at])
    redis.call('HSET', part_uploads, ARGV[at + 1], upload)
    redis.call('SADD', uploading, part_id)
  end
  at = at + 2
end
if redis.call('EXISTS', uploads) == 0 then redis.call('SREM', uploading, id) end
tell(outbox, 'cut', id, 'part', part_id, 'manifest', manifest)
add_flush(job, task, outbox, flush, at)
