-- Leases shares of rates; those that live never sum up to more than the rate. `limits/sharing.py`
-- and `limits/slowdown.py` say by which rules, and do the same.
-- KEYS  limits, the job's limits, rates, then for each rate: its hash, its holders
-- ARGV  the version that the caller knows, holder, lease in ms, then for each rate: name, limit
--       (-1: what refusals say), want (-1: all there is), used, refused; in thousandths per second
-- Returns {version, server ms, {share...}}, where -1 is as much as one likes; if the version is
-- another one nothing is leased: {version, server ms, {scope, text...}, the job's text}.
local limits, job_limits, rates = unpack(KEYS, 1, 3)
local known, me, lease_ms = unpack(ARGV, 1, 3)
local now = now_ms()
local KEPT_MS = 120000 -- longer than any slowdown lasts
local LASTS_MS, BACK_S, DECREASE, SETTLE_MS, LEAST = 60000, 8, 0.15, 1000, 1000
local TOLERATED, OUTAGE = 0.02, 0.95
local SUMS = {'leased', 'wanted', 'hungry', 'used', 'refused'}

-- Takes a holder's record out of the sums.
local function leave(rate, holders, sums, id)
  local record = redis.call('HGET', rate, 'h:' .. id)
  if not record then return end
  local share, want, used, refused = string.match(record, '^(%d+) (%-?%d+) (%d+) (%d+)$')
  sums.leased = sums.leased - share
  if tonumber(want) < 0 then
    sums.hungry = sums.hungry - 1
  else
    sums.wanted = sums.wanted - want
  end
  sums.used = sums.used - used
  sums.refused = sums.refused - refused
  redis.call('HDEL', rate, 'h:' .. id)
  redis.call('ZREM', holders, id)
end

local function others_of(rate, holders)
  local sums = {}
  for at, value in ipairs(redis.call('HMGET', rate, unpack(SUMS))) do
    sums[SUMS[at]] = tonumber(value or 0)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', now)) do
    leave(rate, holders, sums, id)
  end
  leave(rate, holders, sums, me)
  return sums
end

-- What refusals say of an endpoint, now that `used` and `refused` are known of all.
local function obeyed(rate, used, refused)
  local suspect, level, since =
    number_at(rate, 'suspect'), number_at(rate, 'level'), number_at(rate, 'since')
  if refused <= used * TOLERATED or refused >= used * OUTAGE then
    if now >= suspect then suspect = 0 end
  elseif suspect == 0 then
    suspect = now
  elseif now - suspect >= SETTLE_MS then
    suspect, level, since = now + SETTLE_MS, math.max(LEAST, used - refused), now
  end
  if suspect == 0 and now - since >= LASTS_MS then return nil end
  redis.call('HSET', rate, 'suspect', whole(suspect), 'level', whole(level), 'since', whole(since))
  if level == 0 or now - since >= LASTS_MS then return -1 end
  local along = (now - since) / 1000 / BACK_S - 1
  return math.max(LEAST, math.floor(level * (1 + DECREASE * along ^ 3)))
end

local function lease(rate, holders, name, limit, want, used, refused)
  local by_refusals = limit < 0
  if by_refusals and refused == 0 and redis.call('EXISTS', rate) == 0 then return -1 end
  local sums = others_of(rate, holders)
  sums.used, sums.refused = sums.used + used, sums.refused + refused
  if by_refusals then
    limit = obeyed(rate, sums.used, sums.refused)
    if not limit then
      redis.call('DEL', rate, holders)
      return -1
    end
  end
  local share, kept = -1, 0
  if limit >= 0 then
    local even = math.max(0, math.floor((limit - sums.wanted) / (sums.hungry + 1)))
    if want > even then want = -1 end
    share = even
    if want >= 0 and sums.hungry > 0 then
      share = want
    elseif want >= 0 then
      local fair = math.floor(limit / (redis.call('ZCARD', holders) + 1))
      share = math.min(even, math.max(want, fair))
    end
    share = math.max(0, math.min(share, limit - sums.leased))
    kept = share
  else
    want = 0
  end
  sums.leased = sums.leased + kept
  if want < 0 then sums.hungry = sums.hungry + 1 else sums.wanted = sums.wanted + want end
  local record = string.format('%.0f %.0f %.0f %.0f', kept, want, used, refused)
  redis.call('HSET', rate, 'h:' .. me, record, 'leased', whole(sums.leased),
    'wanted', whole(sums.wanted), 'hungry', whole(sums.hungry),
    'used', whole(sums.used), 'refused', whole(sums.refused))
  redis.call('ZADD', holders, whole(now + lease_ms), me)
  redis.call('PEXPIRE', rate, KEPT_MS)
  redis.call('PEXPIRE', holders, KEPT_MS)
  redis.call('ZADD', rates, whole(now + lease_ms), name)
  redis.call('PEXPIRE', rates, KEPT_MS)
  return share
end

local version = number_at(limits, 'version')
if version ~= tonumber(known) then
  return {version, now, redis.call('HGETALL', limits), redis.call('GET', job_limits) or ''}
end
redis.call('ZREMRANGEBYSCORE', rates, '-inf', now)
local shares = {}
for at = 4, #KEYS, 2 do
  local first = 4 + (at - 4) / 2 * 5
  local name, limit, want, used, refused = unpack(ARGV, first, first + 4)
  shares[#shares + 1] = lease(KEYS[at], KEYS[at + 1], name, tonumber(limit), tonumber(want),
    tonumber(used), tonumber(refused))
end
return {version, now, shares}
