-- KEYS  job, uploading
-- ARGV  prefix of uploads keys
-- Returns the packed uploads of all tasks. Changes nothing.
local job, uploading = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', uploading)) do
  for _, packed in ipairs(redis.call('HVALS', ARGV[1] .. id)) do
    found[#found + 1] = packed
  end
end
return found
