-- Remembers, or forgets, how far the multipart upload of an object has come.
-- KEYS  running, task, uploads, uploading
-- ARGV  task id, fence, object index, packed upload ('' = forget)
local running, task, uploads, uploading = unpack(KEYS)
local id, fence, index, packed = unpack(ARGV)
if not is_live(running, task, id, fence) then return refuse('STALE') end
if packed ~= '' then
  redis.call('HSET', uploads, index, packed)
  redis.call('SADD', uploading, id)
elseif redis.call('HDEL', uploads, index) == 1 and redis.call('EXISTS', uploads) == 0 then
  redis.call('SREM', uploading, id)
end
