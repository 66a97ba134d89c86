-- Tells the holder what others have made of the parts that it offered, and takes some back for it.
-- KEYS  running, task, lent, offer, returned
-- ARGV  task id, fence, how many parts to take back, how many returned ones the holder has seen
-- Returns {part numbers, {packed part}... not seen yet, how many were returned in all, how many
-- parts are on offer, to how many workers some are lent}, or nil if this claim offers nothing.
local running, task, lent, offer, returned = unpack(KEYS)
local id, fence, count, seen = unpack(ARGV)
if not is_live(running, task, id, fence) then return refuse('STALE') end
if redis.call('HGET', lent, 'claim') ~= fence then return end
local loans = end_loans(lent, offer)
local numbers = take_parts(offer, '-inf', count)
sum_up_loans(task, offer, loans)
local all = redis.call('LLEN', returned)
if tonumber(seen) > all then seen = 0 end  -- the server has lost some that were seen
local news = redis.call('LRANGE', returned, seen, -1)
return {numbers, news, all, redis.call('ZCARD', offer), loans}
