-- Looks at a job at one instant. Changes nothing.
-- KEYS  job, pending, dispatched, running
-- ARGV  prefix of task keys, how many running tasks to tell of
-- Returns {fields of the job, {pending, dispatched, running}, server ms, rows of running tasks}.
local job, pending, dispatched, running = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
local waiting = {
  redis.call('ZCARD', pending), redis.call('ZCARD', dispatched), redis.call('ZCARD', running)
}
return {redis.call('HGETALL', job), waiting, now_ms(),
  running_rows(running, ARGV[1], tonumber(ARGV[2]))}
