-- Puts limits back that the server has lost.
-- KEYS  limits, then the limits of jobs
-- ARGV  version, number of scopes, {scope, text}..., the jobs' texts
-- Changes nothing if it knows this version or a later one.
local limits = KEYS[1]
local version, scopes = unpack(ARGV, 1, 2)
if number_at(limits, 'version') >= tonumber(version) then return end
local at = 3
redis.call('DEL', limits)
for _ = 1, tonumber(scopes) do
  redis.call('HSET', limits, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for job = 2, #KEYS do
  redis.call('SET', KEYS[job], ARGV[at])
  at = at + 1
end
redis.call('HSET', limits, 'version', version)
