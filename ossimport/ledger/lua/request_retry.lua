-- Sets a Failed or Abort job Running again and counts the retry for the master to carry out.
-- KEYS  job, pending, dispatched, running
-- Returns how many objects are failed or left. A job with nothing to redo (all listed, no task
-- open, none failed or left) stays as it is and returns 0, so does a Running or a Paused job. While a retry
-- waits for the master, asking again changes nothing and returns the count.
local job, pending, dispatched, running = unpack(KEYS)
local state = redis.call('HGET', job, 'state')
if not state then return refuse('NOJOB') end
local redo = number_at(job, 'listed') - number_at(job, 'copied') - number_at(job, 'skipped')
  - number_at(job, 'vanished') - number_at(job, 'excluded')
if state == 'Paused' then return 0 end
if state == 'Running' then
  return number_at(job, 'retries') > number_at(job, 'retries_done') and redo or 0
end
local open = redis.call('ZCARD', pending) + redis.call('ZCARD', dispatched)
  + redis.call('ZCARD', running)
if redo == 0 and open == 0 and redis.call('HGET', job, 'scan') == '1' then return 0 end
redis.call('HSET', job, 'state', 'Running', 'reason', '')
redis.call('HDEL', job, 'ended')
redis.call('HINCRBY', job, 'retries', 1)
return redo
