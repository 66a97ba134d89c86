-- Turns the scan failures back into lanes: they are neither listed nor failed any more.
-- KEYS  job, lanes, unlisted
-- Without failures nothing changes.
local job, lanes, unlisted = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
local failures = redis.call('LRANGE', unlisted, 0, -1)
if #failures == 0 then return end
for _, packed in ipairs(failures) do
  set_lane(job, lanes, number_at(job, 'lane'), packed)
end
redis.call('HINCRBY', job, 'listed', -#failures)
redis.call('HINCRBY', job, 'failed', -#failures)
redis.call('DEL', unlisted)
