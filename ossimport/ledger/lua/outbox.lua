-- KEYS  job, outbox
-- ARGV  how many at most
-- Returns the oldest events: {id, {field, value...}}... Changes nothing.
local job, outbox = unpack(KEYS)
if not has_job(job) then return refuse('NOJOB') end
-- XRANGE answers COUNT 0 with nil instead of an empty list.
return redis.call('XRANGE', outbox, '-', '+', 'COUNT', ARGV[1]) or {}
