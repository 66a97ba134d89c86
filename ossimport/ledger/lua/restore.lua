-- Rebuilds a planned task with what had become of it; a task that ended leaves counters only.
-- KEYS  job, pending, restored, task
-- ARGV  id, 1 if it is to be pending, manifest, objects, bytes, marks, how many objects are marked,
--       their bytes, length of its log, how often it was claimed, {counter, delta}...
-- Changes nothing if the task was restored before, or the job has planned a step.
local job, pending, restored, task = unpack(KEYS)
local id, is_open, manifest, objects, bytes = unpack(ARGV, 1, 5)
local marks, marked, marked_bytes, log, claims = unpack(ARGV, 6, 10)
if not has_job(job) then return refuse('NOJOB') end
if number_at(job, 'seq') > 0 or redis.call('SADD', restored, id) == 0 then return end
redis.call('HINCRBY', job, 'listed', objects)
redis.call('HINCRBY', job, 'listed_bytes', bytes)
add_pairs(job, 11)
if is_open == '1' then
  enqueue(job, pending, task, id, 'manifest', manifest, 'objects', objects, 'bytes', bytes,
    'marks', marks, 'marked', marked, 'marked_bytes', marked_bytes, 'log', log, 'claims', claims)
end
