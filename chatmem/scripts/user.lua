-- The index of a user's sessions: their ids, by the time of their last write, and their deadlines.
-- KEYS: a sorted set of times; a sorted set of deadlines, for the sessions that have one; the log of changes, if the
--       caller publishes: its entries are "time kind session", see publishing.lua.
-- ARGV: 1 "add": 2 the time in microseconds since 1970, empty for now, 3 the session's id, 4 its TTL in milliseconds,
--                empty for none, 5 "CH" to add it or set its time, "NX" to add it unless it is there, "XX" to set its
--                time if it is there, "TTL" to set only its TTL if it is there, 6 "1" if the session's title or metadata
--                changed. Returns 1, or 0 if it is not there.
--       1 "list": 2 and 3 a time and an id to go on from, empty for none, 4 how many, 5 "newest" or "oldest" first.
--                Returns ids and times in turn.
--       1 "get": 2 a session's id. Returns its time, empty if it is not there.
--       1 "drop": then for each session: a time, its id. Removes it unless its time has changed.
-- Times come from this server's clock, and only grow. So a reader that saw a session expire can drop it by the time
-- that it had before, and never drops one that was written since, whatever clocks the writers have.
local index, deadlines = KEYS[1], KEYS[2]
local PIECE, SLICE = 5000, 1000 -- sessions
local KEPT = 86400000 -- milliseconds that the log is kept if the index has no deadline

local function written(number)
  return string.format('%.0f', number)
end

-- Tells listeners what happened to a session at a time of the index. The log goes with the last session.
local function publish_session(kind, time, session)
  if not log then
    return
  end
  tell(written(time) .. ' ' .. kind .. ' ' .. session)
  local left = redis.call('PTTL', index) -- -2 for no index, -1 for no deadline
  redis.call('PEXPIRE', log, left == -2 and 0 or left == -1 and KEPT or left)
end

-- Removes expired sessions, at most PIECE of them in each call.
local function forget_expired()
  local over = redis.call('ZRANGEBYSCORE', deadlines, '-inf', written(milliseconds_now()), 'LIMIT', 0, PIECE)
  for from = 1, #over, SLICE do
    redis.call('ZREM', index, unpack(over, from, math.min(from + SLICE - 1, #over)))
  end
  if #over > 0 then
    redis.call('ZREMRANGEBYRANK', deadlines, 0, #over - 1)
  end
end

if ARGV[1] == 'get' then
  return redis.call('ZSCORE', index, ARGV[2]) or ''
elseif ARGV[1] == 'list' then
  forget_expired()
  local time, id, count, newest = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == 'newest'
  local command = newest and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE'
  local from, to = time and ARGV[2] or newest and '+inf' or '-inf', newest and '-inf' or '+inf'
  local listed, offset, found = {}, 0, nil
  repeat -- finds those with the time of the last one again
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
      redis.call('ZREM', deadlines, ARGV[at + 1])
      publish_session('removed', tonumber(time), ARGV[at + 1])
    end
  end
  return 0
end

local id, ttl, how = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now = tonumber(microseconds_now())
local before = tonumber(redis.call('ZSCORE', index, id) or nil)
local left = redis.call('PTTL', index) -- -2 for no index, -1 for no deadline
-- The session is written already, so its entry must not fail even if memory is full. Once a script has written, the
-- server lets it run any command.
redis.call('ZREM', index, '')
if (how == 'XX' or how == 'TTL') and not before then
  return 0
end
if how == 'CH' or how == 'XX' or not before then
  local time = tonumber(ARGV[2]) or now
  redis.call('ZADD', index, written(ARGV[2] == '' and before and math.max(time, before + 1) or time), id)
end
if not ttl then
  redis.call('ZREM', deadlines, id)
  redis.call('PERSIST', index)
  redis.call('PERSIST', deadlines)
else
  redis.call('ZADD', deadlines, written(now / 1000 + ttl), id)
  if left == -2 or left >= 0 and left < ttl then
    redis.call('PEXPIRE', index, ttl)
    redis.call('PEXPIRE', deadlines, ttl)
  elseif left == -1 then
    redis.call('PERSIST', deadlines)
  end
end

forget_expired()
if how == 'CH' or how == 'XX' or not before then
  publish_session('written', tonumber(redis.call('ZSCORE', index, id) or now), id)
elseif ARGV[6] == '1' then
  publish_session('title', before, id)
end
return 1
