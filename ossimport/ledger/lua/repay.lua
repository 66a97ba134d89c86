-- Takes parts that a borrower has made, lends it others, and lets its lease run anew.
-- KEYS  job, running, task, lent, offer, returned
-- ARGV  task id, fence of the holder's claim, fence of the loan, lease in ms, how many more parts at
--       most, how many made ones follow, {number, packed part}..., how many that it could not make follow,
--       their numbers, and the numbers that it keeps
-- Returns the numbers of the parts that it gets besides those that it keeps. All else that it had is on
-- offer again; what it could not make only for the holder (a score below 0), who then meets the
-- reason. A loan without parts ends. STALE too if the job is not Running.
local job, running, task, lent, offer, returned = unpack(KEYS)
local id, claim, loan, lease_ms, count = unpack(ARGV, 1, 5)
local record = redis.call('HGET', lent, loan)
if not record or redis.call('HGET', lent, 'claim') ~= claim
  or not is_live(running, task, id, claim) or redis.call('HGET', job, 'state') ~= 'Running' then
  return refuse('STALE')
end
local had, worker = string.match(record, '^%d+ (%S*) (.*)$')
for number in string.gmatch(had, '%d+') do
  redis.call('ZADD', offer, number, number)
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  redis.call('ZREM', offer, ARGV[at])
  redis.call('RPUSH', returned, ARGV[at + 1])
  at = at + 2
end
local refused = tonumber(ARGV[at])
for number = at + 1, at + refused do
  redis.call('ZADD', offer, '-' .. ARGV[number], ARGV[number])
end
local kept = {unpack(ARGV, at + refused + 1)}
for _, number in ipairs(kept) do
  redis.call('ZREM', offer, number)
end
local more = take_parts(offer, 1, count)
for _, number in ipairs(more) do
  kept[#kept + 1] = number
end
redis.call('HDEL', lent, loan)
local loans = end_loans(lent, offer)
if #kept > 0 then
  set_loan(lent, loan, lease_ms, kept, worker)
  loans = loans + 1
end
sum_up_loans(task, offer, loans)
return more
