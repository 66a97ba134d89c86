-- KEYS  workers
-- Returns how many slots the workers have whose lease lives. Changes nothing.
local slots = 0
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now_ms()), '+inf')) do
  slots = slots + tonumber(string.match(entry, '^%d+'))
end
return slots
