-- Forgets an upload of a task that has ended.
-- KEYS  job, uploading
-- ARGV  prefix of uploads keys, packed upload
-- Nothing changes if none of the job's tasks has such an upload.
local job, uploading = unpack(KEYS)
local prefix, packed = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
for _, id in ipairs(redis.call('SMEMBERS', uploading)) do
  local uploads = prefix .. id
  local fields = redis.call('HGETALL', uploads)
  for at = 1, #fields, 2 do
    if fields[at + 1] == packed then redis.call('HDEL', uploads, fields[at]) end
  end
  if redis.call('EXISTS', uploads) == 0 then redis.call('SREM', uploading, id) end
end
