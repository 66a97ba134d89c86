-- Begins a round: what was planned and counted is forgotten, what was set for the job stays.
-- KEYS  job, pending, dispatched, running, lanes, unlisted, ended, outbox, restored
-- ARGV  created_ms of the round, its number, then prefixes of the keys of a task but for its uploads
-- Nothing changes if the round has begun. A task that runs all the same loses its claim.
local job, pending, dispatched, running = unpack(KEYS, 1, 4)
local created, round = unpack(ARGV, 1, 2)
if not has_job(job) then return refuse('NOJOB') end
if redis.call('HGET', job, 'created') == created then return end
unlink_tasks({pending, dispatched, running}, 3)
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('HDEL', job, 'next_round', 'ended', 'seq', 'lane', 'unchanged', 'unchanged_bytes',
  'unkept', 'proof0', 'proof1', 'proof2', 'proof3', 'tasks_succeed', 'tasks_failed',
  'objects_per_s', 'bytes_per_s')
for _, kind in ipairs({'listed', 'copied', 'skipped', 'failed', 'vanished', 'excluded'}) do
  redis.call('HDEL', job, kind, kind .. '_bytes')
end
redis.call('HSET', job, 'created', created, 'round', round, 'reason', '', 'scan', 0,
  'retries', 0, 'retries_done', 0)
