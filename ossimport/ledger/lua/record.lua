-- Adds a flush: the marks, the counters and the log text.
-- KEYS  job, running, task, outbox
-- ARGV  the flush as check_flush takes it, {counter, delta}...
local job, running, task, outbox = unpack(KEYS)
local flush = {unpack(ARGV, 1, 10)}
local answer = check_flush(running, task, flush)
if answer == 'new' then return add_flush(job, task, outbox, flush, 11) end
return answer
