-- Drops the events before an id, and what is kept of tasks that ended.
-- KEYS  job, outbox, ended
-- ARGV  the first id to keep ('' = drop none), then task ids
-- Events dropped before, and tasks that run again, stay as they are: a stale master harms nothing.
local job, outbox, ended = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
if ARGV[1] ~= '' then redis.call('XTRIM', outbox, 'MINID', '=', ARGV[1]) end
for at = 2, #ARGV do
  redis.call('HDEL', ended, ARGV[at])
end
