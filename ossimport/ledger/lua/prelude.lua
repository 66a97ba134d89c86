-- What the scripts share; put in front of each of them. Changes nothing by itself.
--
-- A script that refuses returns an error whose first word is the reason:
--   NOJOB  there is no such job            STALE  the claim is not live any more
--   EXISTS another job of this name exists BEHIND steps before this one are missing
--   SUMS   the caller's numbers contradict each other
-- It looks before it writes: a refusal has changed nothing.

-- The server writes ERR in front of an error of one word; with a second word the reason stays first.
local function refuse(reason)
  return redis.error_reply(reason .. ' refused')
end

-- Lua counts in doubles: exact for the milliseconds, fences and bytes of a task (below 2^53).
-- Sums over a job are left to HINCRBY, which counts in 64 bits.
local function whole(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function number_at(hash, field)
  return tonumber(redis.call('HGET', hash, field) or 0)
end

local function has_job(job)
  return redis.call('EXISTS', job) == 1
end

-- A claim lives until its task is claimed anew, handed back or ended. A lease that has run out
-- only allows others to take the task: as long as nobody did, its holder is merely late.
local function is_live(running, task, id, fence)
  return redis.call('ZSCORE', running, id) and redis.call('HGET', task, 'fence') == fence
end

local function tell(outbox, kind, id, ...)
  redis.call('XADD', outbox, '*', 'kind', kind, 'task', id, ...)
end

-- Makes a running task pending again. Its plan order puts it in front of all that were planned later.
local function hand_back(pending, running, task, outbox, id)
  redis.call('ZREM', running, id)
  redis.call('ZADD', pending, redis.call('HGET', task, 'order'), id)
  tell(outbox, 'released', id, 'worker', redis.call('HGET', task, 'worker'))
end

-- Makes a task that has no record pending; `...` are the fields of its record.
local function enqueue(job, pending, task, id, ...)
  local order = redis.call('HINCRBY', job, 'order', 1)
  redis.call('HSET', task, 'order', order, ...)
  redis.call('ZADD', pending, order, id)
end

-- Removes what is kept of the tasks in these queues under the prefixes ARGV[first] to the end.
local function unlink_tasks(queues, first)
  for _, queue in ipairs(queues) do
    for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
      for at = first, #ARGV do
        redis.call('UNLINK', ARGV[at] .. id)
      end
    end
  end
end

-- A fence for a claim or a loan: the server's time in ms, and above every fence given in the job. So
-- it also grows when Redis has lost its memory, and when its clock goes back.
local function next_fence(job)
  local fence = whole(math.max(number_at(job, 'fence') + 1, now_ms()))
  redis.call('HSET', job, 'fence', fence)
  return fence
end

-- Adds pairs of field and delta, ARGV[first] to the end, to a hash.
local function add_pairs(hash, first)
  for at = first, #ARGV, 2 do
    redis.call('HINCRBY', hash, ARGV[at], ARGV[at + 1])
  end
end

-- Sets a lane, or removes it where `packed` is empty. A number is never given to a second lane.
-- A scan with a lane left is not finished, also if the ledger has forgotten why.
local function set_lane(job, lanes, number, packed)
  if packed == '' then
    redis.call('HDEL', lanes, number)
  else
    redis.call('HSET', lanes, number, packed)
    redis.call('HSET', job, 'scan', 0)
  end
  if tonumber(number) >= number_at(job, 'lane') then
    redis.call('HSET', job, 'lane', number + 1)
  end
end

-- Applies what a plan step found besides tasks. ARGV[first] on: excluded objects, their bytes,
-- unchanged objects, their bytes, number of lanes, {lane number, packed lane}..., number of failures, {packed lane}...
-- Returns the index behind them.
local function apply_scan(job, lanes, unlisted, first)
  local excluded = ARGV[first]
  local excluded_bytes = ARGV[first + 1]
  local unchanged = ARGV[first + 2]
  local unchanged_bytes = ARGV[first + 3]
  local at = first + 5
  for _ = 1, tonumber(ARGV[first + 4]) do
    set_lane(job, lanes, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  local failures = ARGV[at]
  for _ = 1, tonumber(failures) do
    at = at + 1
    redis.call('RPUSH', unlisted, ARGV[at])
  end
  redis.call('HINCRBY', job, 'excluded', excluded)
  redis.call('HINCRBY', job, 'excluded_bytes', excluded_bytes)
  redis.call('HINCRBY', job, 'failed', failures)
  for _, kind in ipairs({'unchanged', 'skipped', 'listed'}) do
    redis.call('HINCRBY', job, kind, unchanged)
    redis.call('HINCRBY', job, kind .. '_bytes', unchanged_bytes)
  end
  redis.call('HINCRBY', job, 'listed', excluded + failures)
  redis.call('HINCRBY', job, 'listed_bytes', excluded_bytes)
  return at + 1
end

-- Up to `cap` running tasks (-1: all), those first whose lease ends first:
-- {id, 1 if expired, worker, fence, objects, bytes, marked, marked_bytes, moving, offered, helpers}...
local function running_rows(running, task_prefix, cap)
  local now = now_ms()
  local rows = {}
  local last = cap
  if last > 0 then last = cap - 1 end
  local scored = redis.call('ZRANGE', running, 0, last, 'WITHSCORES')
  for at = 1, #scored, 2 do
    local row = redis.call('HMGET', task_prefix .. scored[at], 'worker', 'fence', 'objects',
      'bytes', 'marked', 'marked_bytes', 'moving', 'offered', 'helpers')
    table.insert(row, 1, tonumber(scored[at + 1]) <= now and 1 or 0)
    table.insert(row, 1, scored[at])
    rows[#rows + 1] = row
  end
  return rows
end

-- Looks at a flush: {task id, fence, flush number, marks, how many objects are
-- marked, objects and bytes that the flush adds to them, moving bytes, log, length of its text}.
-- Returns 'new', nil for one seen before, or the refusal: STALE if the flush before is missing (Redis
-- lost it, and the task must be claimed anew so that its objects are done again), SUMS if the marks
-- and the number of objects disagree.
local function check_flush(running, task, flush)
  local id, fence, number = unpack(flush, 1, 3)
  if not is_live(running, task, id, fence) then return refuse('STALE') end
  local flushes = number_at(task, 'flushes')
  if tonumber(number) <= flushes then return nil end
  if tonumber(number) > flushes + 1 then return refuse('STALE') end
  if number_at(task, 'marked') + flush[6] ~= tonumber(flush[5]) then return refuse('SUMS') end
  return 'new'
end

-- Writes the flush down. ARGV[counters] on: {counter, delta}...
local function add_flush(job, task, outbox, flush, counters)
  local id, _, number, marks, marked, _, bytes, moving, log, log_size = unpack(flush)
  redis.call('HSET', task, 'flushes', number, 'marks', marks, 'marked', marked, 'moving', moving)
  redis.call('HINCRBY', task, 'marked_bytes', bytes)
  add_pairs(job, counters)
  if log_size ~= '0' then
    local offset = number_at(task, 'log')
    redis.call('HINCRBY', task, 'log', log_size)
    tell(outbox, 'log', id, 'offset', offset, 'log', log)
  end
end

-- Takes up to `count` parts off an offer, those of the lowest scores first; none with a score below
-- `lowest`.
local function take_parts(offer, lowest, count)
  local numbers = redis.call('ZRANGEBYSCORE', offer, lowest, '+inf', 'LIMIT', 0, count)
  for _, number in ipairs(numbers) do
    redis.call('ZREM', offer, number)
  end
  return numbers
end

-- Ends the loans whose lease has run out, and the one that this worker has: what they had is on offer
-- again. Returns how many loans there are now.
local function end_loans(lent, offer, worker)
  local now = now_ms()
  local live = 0
  local fields = redis.call('HGETALL', lent)
  for at = 1, #fields, 2 do
    if string.match(fields[at], '^%d+$') then
      local ends, numbers, holder = string.match(fields[at + 1], '^(%d+) (%S*) (.*)$')
      if tonumber(ends) > now and holder ~= worker then
        live = live + 1
      else
        for number in string.gmatch(numbers, '%d+') do
          redis.call('ZADD', offer, number, number)
        end
        redis.call('HDEL', lent, fields[at])
      end
    end
  end
  return live
end

-- Writes a loan down: until when it lasts, what it has, and who.
local function set_loan(lent, loan, lease_ms, numbers, worker)
  local ends = whole(now_ms() + lease_ms)
  redis.call('HSET', lent, loan, ends .. ' ' .. table.concat(numbers, ',') .. ' ' .. worker)
end

-- Writes down in the task how many of its parts are on offer and how many workers have some.
local function sum_up_loans(task, offer, loans)
  redis.call('HSET', task, 'offered', redis.call('ZCARD', offer), 'helpers', loans)
end
