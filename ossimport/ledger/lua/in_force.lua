-- KEYS  rates
-- ARGV  prefix of the rates' hashes, what their holders' keys end with
-- Returns {name, leased, holders, suspect, level, since}... of the rates that are shared now, and the
-- server's ms as the last. Changes nothing.
local prefix, ending = unpack(ARGV)
local now = now_ms()
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now), '+inf')) do
  local rate = prefix .. name
  local live = redis.call('ZRANGEBYSCORE', rate .. ending, '(' .. whole(now), '+inf')
  local leased = 0
  for _, id in ipairs(live) do
    leased = leased + tonumber(string.match(redis.call('HGET', rate, 'h:' .. id) or '0', '^%d+'))
  end
  local state = redis.call('HMGET', rate, 'suspect', 'level', 'since')
  found[#found + 1] = {name, whole(leased), #live, state[1] or '0', state[2] or '0', state[3] or '0'}
end
found[#found + 1] = now
return found
