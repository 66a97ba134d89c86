-- Begins a round: what was planned and counted is forgotten, what was set for the job stays.
-- KEYS  job, pending, dispatched, running, lanes, unlisted, ended, outbox, restored
-- ARGV  created_ms of the round, its number, prefix of task keys
-- Nothing changes if the round has begun. A task that runs all the same loses its claim.
local job, pending, dispatched, running = unpack(KEYS, 1, 4)
local created, round, task_prefix = unpack(ARGV)
if not has_job(job) then return refuse('NOJOB') end
if redis.call('HGET', job, 'created') == created then return end
for _, queue in ipairs({pending, dispatched, running}) do
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    redis.call('UNLINK', task_prefix .. id)
  end
end
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('HDEL', job, 'next_round', 'ended', 'seq', 'lane', 'unchanged', 'unchanged_bytes',
  'unkept', 'proof0', 'proof1', 'proof2', 'proof3', 'tasks_succeed', 'tasks_failed',
  'objects_per_s', 'bytes_per_s')
for _, kind in ipairs({'listed', 'copied', 'skipped', 'failed', 'vanished', 'excluded'}) do
  redis.call('HDEL', job, kind, kind .. '_bytes')
end
redis.call('HSET', job, 'created', created, 'round', round, 'reason', '', 'scan', 0,
  'retries', 0, 'retries_done', 0)
