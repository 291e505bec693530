-- The task "add" of user.lua, which most calls are. The others come behind it: Lua makes every function anew in every
-- call.
-- Returns whether there are marked sessions. A user without any needs no right to the commands that only their lists need.
local are_marked
local function has_lists()
  if are_marked == nil then
    local there = marked and redis.call('EXISTS', marked, lists) or 0
    are_marked = there > 0
    if there == 1 then
      marking().mend()
    end
  end
  return are_marked
end

-- As in `marking`, but for an index that has no marked sessions, too.
local function known_of(id)
  if not has_lists() then
    return nil, nil, ''
  end
  return marking().known_of(id)
end

-- Removes expired sessions, at most PIECE of them and MEMBERS in each call.
local function forget_expired()
  local now = milliseconds_now()
  local over = redis.call('ZRANGEBYSCORE', deadlines, '-inf', written(now), 'LIMIT', 0, PIECE)
  for from = 1, #over, SLICE do
    redis.call('ZREM', index, unpack(over, from, math.min(from + SLICE - 1, #over)))
  end
  if #over > 0 then
    redis.call('ZREMRANGEBYRANK', deadlines, 0, #over - 1)
  end
  if has_lists() then
    marking().forget(now)
  end
end

-- Lets two keys live as long as the session in them that lives longest. `left` is the first one's PTTL before: -2 if it
-- was absent, -1 if it had no deadline.
local function keep(first, second, left, ttl)
  if not ttl then
    redis.call('PERSIST', first)
    redis.call('PERSIST', second)
  elseif left == -2 or left >= 0 and left < ttl then
    redis.call('PEXPIRE', first, ttl)
    redis.call('PEXPIRE', second, ttl)
  elseif left == -1 then
    redis.call('PERSIST', second)
  end
end

-- Lists the sessions again that have a deadline, where the index itself is gone. They get times from now on, so that none
-- is earlier than it was, in the order of their deadlines.
local function list_again()
  local now, from, found = tonumber(microseconds_now()), 0, nil
  repeat
    found = redis.call('ZRANGEBYSCORE', deadlines, '-inf', '+inf', 'LIMIT', written(from), SLICE)
    if #found > 0 then
      redis.call('ZREM', index, '') -- allows the next commands even if memory is full; a replica refuses it
    end
    for at, id in ipairs(found) do
      redis.call('ZADD', index, written(now + from + at), id)
    end
    from = from + SLICE
  until #found < SLICE
  local left = redis.call('PTTL', deadlines)
  if left > 0 then
    redis.call('PEXPIRE', index, left)
  end
end

-- Tells listeners what happened to a session at a time of the index. The log goes with the last session.
local function publish_session(kind, time, session)
  if not log then
    return
  end
  tell(written(time) .. ' ' .. kind .. ' ' .. session)
  local left = redis.call('PTTL', index) -- -2 for no index, -1 for no deadline
  local marked_left = marked and redis.call('PTTL', marked) or -2
  left = (left == -1 or marked_left == -1) and -1 or math.max(left, marked_left)
  redis.call('PEXPIRE', log, left == -2 and 0 or left == -1 and KEPT or left)
end

if ARGV[1] == 'add' then
  local id, ttl, how = ARGV[3], tonumber(string.match(ARGV[4], '%d+')), ARGV[5]
  local now = tonumber(microseconds_now())
  local left, marked_left = redis.call('PTTL', index), marked and redis.call('PTTL', marked)
  if left == -2 then
    list_again()
  end
  local stored, known, ends, marks = tonumber(redis.call('ZSCORE', index, id) or nil), known_of(id)
  local before = math.max(stored or known or 0, known or stored or 0)
  -- The session is written already, so its entry must not fail even if memory is full. Once a script has written, the
  -- server lets it run any command.
  redis.call('ZREM', index, '')
  if (how == 'XX' or how == 'TTL') and not (stored or known) then
    return marked and '' or 0
  end
  -- Who did not know that it is archived may just have added it to the index.
  local time = is_archived(marks) and known or before
  local written_now = how == 'CH' or how == 'XX' or not (stored or known)
  if written_now then
    time = tonumber(ARGV[2]) or math.max(now, before + 1)
  end
  local deadline = ttl and now / 1000 + ttl
  if string.sub(ARGV[4], 1, 1) == '+' and (stored or known) then
    ends = ends or tonumber(redis.call('ZSCORE', deadlines, id) or nil)
    deadline = ends and math.max(deadline, ends)
    ttl = ends and ttl
  end
  marks = ARGV[7] and string.sub(ARGV[7], 2) or marks
  if is_archived(marks) then
    redis.call('ZREM', index, id)
    redis.call('ZREM', deadlines, id)
  else
    if time ~= stored then
      redis.call('ZADD', index, written(time), id)
    end
    if deadline then
      redis.call('ZADD', deadlines, written(deadline), id)
    else
      redis.call('ZREM', deadlines, id)
    end
    keep(index, deadlines, left, ttl)
  end
  if marks ~= '' then
    marking().mark(id, time, deadline, marks)
    keep(marked, lists, marked_left, ttl)
  elseif known then
    marking().unmark(id)
  end
  forget_expired()
  if written_now then
    publish_session('written', time, id)
  elseif ARGV[6] == '1' then
    publish_session('title', time, id)
  end
  return marked and marks or 1
end
