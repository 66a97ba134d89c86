-- Adds the tasks of one step as pending and moves the lanes, at once.
-- KEYS  job, lanes, unlisted, pending, ended, then the key of each task
-- ARGV  step number, what apply_scan takes, then of each task: id, manifest, objects, bytes
-- BEHIND if steps are missing before this one. A step seen before changes nothing, nor does a task
-- that is there already.
local job, lanes, unlisted, pending, ended = unpack(KEYS, 1, 5)
if not has_job(job) then return refuse('NOJOB') end
local seq = tonumber(ARGV[1])
local seen = number_at(job, 'seq')
if seq <= seen then return end
if seq > seen + 1 then return refuse('BEHIND') end
redis.call('HSET', job, 'seq', seq)
local at = apply_scan(job, lanes, unlisted, 2)
for which = 6, #KEYS do
  local id, manifest, objects, bytes = unpack(ARGV, at, at + 3)
  at = at + 4
  if redis.call('EXISTS', KEYS[which]) + redis.call('HEXISTS', ended, id) == 0 then
    enqueue(job, pending, KEYS[which], id,
      'manifest', manifest, 'objects', objects, 'bytes', bytes)
    redis.call('HINCRBY', job, 'listed', objects)
    redis.call('HINCRBY', job, 'listed_bytes', bytes)
  end
end
