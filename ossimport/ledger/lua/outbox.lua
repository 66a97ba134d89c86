-- KEYS  job, outbox
-- ARGV  how many at most
-- Returns the oldest events: {id, {field, value...}}... Changes nothing.
local job, outbox = unpack(KEYS)
if not has_job(job) then return redis.error_reply('NOJOB') end
return redis.call('XRANGE', outbox, '-', '+', 'COUNT', ARGV[1])
