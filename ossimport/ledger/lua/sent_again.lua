-- Starts the clock of dispatched tasks anew; others stay as they are.
-- KEYS  job, dispatched
-- ARGV  task ids
local job, dispatched = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
local now = whole(now_ms())
for _, id in ipairs(ARGV) do
  redis.call('ZADD', dispatched, 'XX', now, id)
end
