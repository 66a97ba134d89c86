-- Lends a worker some of the parts that the holder of a task offers.
-- KEYS  job, running, task, lent, offer
-- ARGV  task id, worker, lease in ms, how many parts at most
-- Returns {fence of the holder's claim, fence of the loan, packed upload, part numbers}, or nil if
-- nothing is offered or the job is not Running. A loan that this worker has already ends.
local job, running, task, lent, offer = unpack(KEYS)
local id, worker, lease_ms, count = unpack(ARGV)
if redis.call('HGET', job, 'state') ~= 'Running' then return end
local claim, upload = unpack(redis.call('HMGET', lent, 'claim', 'upload'))
if not claim or not is_live(running, task, id, claim) then return end
local loans = end_loans(lent, offer, worker)
local numbers = take_parts(offer, 1, count)
if #numbers > 0 then
  loans = loans + 1
  local loan = next_fence(job)
  set_loan(lent, loan, lease_ms, numbers, worker)
  sum_up_loans(task, offer, loans)
  return {claim, loan, upload, numbers}
end
sum_up_loans(task, offer, loans)
