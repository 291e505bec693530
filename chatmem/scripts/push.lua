-- Pushes elements to a list that other programs use too: all or none, once, and sets the list's TTL.
-- KEYS: the list, the record of recent calls.
-- ARGV: 1 LPUSH or RPUSH   2 the call's token, see recent.lua   3 TTL in milliseconds, empty for none
--       then the elements.
local list, tokens = KEYS[1], KEYS[2]
local push, token, ttl = ARGV[1], ARGV[2], ARGV[3]
local HEAD, SLICE = 3, 1000

redis.call('LLEN', list) -- if the key holds another type, this raises before anything is written
local recent = redis.call('GET', tokens) or ''
local done, late, others = recall(recent, token)
if done or late then
  return 0
end
local no_right = denied('SET TIME', tokens) or ttl ~= '' and denied('PEXPIRE', list)
if no_right then
  return no_right
end
-- unpack stops at about 8,000 values
for from = HEAD + 1, #ARGV, SLICE do
  redis.call(push, list, unpack(ARGV, from, math.min(from + SLICE - 1, #ARGV)))
end
if ttl ~= '' then
  redis.call('PEXPIRE', list, ttl)
end
redis.call('SET', tokens, remember(others, token, '1'), 'PX', REMEMBER_FOR * 1000)
return 1
