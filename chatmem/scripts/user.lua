-- Keeps the index of a user's sessions: their ids, by the time of their last write.
-- KEYS: the sorted set.
-- ARGV: 1 "add": 2 the time, 3 the session's id, 4 its time to live in milliseconds, empty for none,
--                5 "CH" to add it or set its time, "NX" to add it where it is not there, "XX" to set its time and
--                "TTL" to set nothing but the time to live, both only where it is there
--       1 "list": 2 and 3 a time and an id to go on from, empty for none, 4 how many, 5 "newest" or "oldest" first:
--                returns ids and times
--       1 "drop": then for each session: a time, its id. It goes unless it was written after that.
local index = KEYS[1]

if ARGV[1] == 'list' then
  local time, id, count, newest = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == 'newest'
  local command = newest and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE'
  local from, to = time and ARGV[2] or newest and '+inf' or '-inf', newest and '-inf' or '+inf'
  local listed, offset, found = {}, 0, nil
  repeat -- those of the same microsecond as the last one are found again
    found = redis.call(command, index, from, to, 'WITHSCORES', 'LIMIT', offset, count)
    for at = 1, #found, 2 do
      local past = time == tonumber(found[at + 1]) and (newest and found[at] >= id or not newest and found[at] <= id)
      if #listed < 2 * count and not past then
        listed[#listed + 1] = found[at]
        listed[#listed + 1] = found[at + 1]
      end
    end
    offset = offset + count
  until #listed == 2 * count or #found < 2 * count
  return listed
elseif ARGV[1] == 'drop' then
  for at = 2, #ARGV, 2 do
    local time = redis.call('ZSCORE', index, ARGV[at + 1])
    if time and tonumber(time) <= tonumber(ARGV[at]) then
      redis.call('ZREM', index, ARGV[at + 1])
    end
  end
  return 0
end

local time, id, ttl, how = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local left = redis.call('PTTL', index) -- -2 for no index, -1 for no deadline
if (how == 'XX' or how == 'TTL') and not redis.call('ZSCORE', index, id) then
  return 0
end
if how ~= 'TTL' then
  redis.call('ZADD', index, how, time, id)
end
if not ttl then
  redis.call('PERSIST', index)
elseif left == -2 or left >= 0 and left < ttl then
  redis.call('PEXPIRE', index, ttl)
end
return 1
