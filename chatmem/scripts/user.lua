-- The index of a user's sessions: their ids, by the time of their last write, and their deadlines.
-- KEYS: a sorted set of times; a sorted set of deadlines, for the sessions that have one. Then, where a session may be
--       marked: a hash of what is known of marked sessions, and a sorted set of their lists. Last the log of changes, if
--       the caller publishes: its entries are "time kind session", see publishing.lua.
-- ARGV: 1 "add": 2 the time in microseconds since 1970, empty for now, 3 the session's id, 4 its TTL in milliseconds,
--                empty for none, 5 "CH" to add it or set its time, "NX" to add it unless it is there, "XX" to set its
--                time if it is there, "TTL" to set only its TTL if it is there, 6 "1" if the session's title,
--                metadata or marks changed, 7 "=" and its marks, absent to keep those that are known here. Returns 1, or 0 if it is not there; with four keys, its marks.
--       1 "list": 2 and 3 a time and an id to go on from, empty for none, 4 how many, 5 "newest" or "oldest" first,
--                then names of lists, empty for the index; none for the index alone. Returns ids and times in turn;
--                for each of the lists, if they are named.
--       1 "count": then names of lists, empty for the index. Returns how many sessions each of them holds.
--       1 "get": 2 a session's id. Returns its time, empty if it is not there.
--       1 "drop": then for each session: a time, its id. Removes it unless its time has changed. Returns of how many
--                sessions it has seen to that, and whether there are marked sessions left, 1 or 0; with two keys, 0.
-- Times come from this server's clock, and only grow. So a reader that saw a session expire can drop it by the time
-- that it had before, and never drops one that was written since, whatever clocks the writers have.
--
-- Marks are "a" for archived, "p" for pinned, then a comma and a tag for each tag: "ap,work". An archived session is
-- not in the index. The hash holds "time:deadline:marks". The lists are one sorted set of members "name/time/id" and
-- "u/deadline/id", in which all scores are 0, so that it is in the order of the members' bytes. A list's name is "a"
-- for archived sessions or "c" for the others, then "p" for those that are pinned, then a comma and a tag for those
-- with this tag. One set, because a script must declare its keys: the call that takes an expired or erased session out
-- of all lists cannot know its tags.
local index, deadlines, marked, lists = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
marked = marked ~= log and marked or nil
local PIECE, SLICE = 5000, 1000 -- sessions
local KEPT = 86400000 -- milliseconds that the log is kept if the index has no deadline
local MEMBERS = 500 -- so many members of the lists are removed in one call; those of one session are up to 103
local MOST = 9007199254740991 -- the largest number that Lua represents exactly, of 16 digits

local function written(number)
  return string.format('%.0f', number)
end

local function within(number)
  return math.max(0, math.min(number, MOST))
end

local function member(name, number, id)
  return name .. '/' .. string.format('%016.0f', within(number)) .. '/' .. id
end

local function is_archived(marks)
  return string.sub(marks, 1, 1) == 'a'
end

local function names_of(marks)
  local names = {}
  if marks ~= '' then
    local pinned = string.match(marks, '^a?(p?)')
    local half = is_archived(marks) and 'a' or 'c'
    names = {half, pinned == 'p' and half .. 'p' or nil}
    for tag in string.gmatch(marks, ',[^,]*') do
      names[#names + 1] = half .. tag
      names[#names + 1] = pinned == 'p' and half .. 'p' .. tag or nil
    end
  end
  return names
end

-- Returns the time, the deadline and the marks of a marked session; nil, nil, '' of any other.
local function known_of(id)
  local known = marked and redis.call('HGET', marked, id) or ''
  local time, deadline, marks = string.match(known, '^(%d+):(%d*):(.*)$')
  return tonumber(time), tonumber(deadline), marks or ''
end

local function members_of(id, time, deadline, marks)
  local members = {deadline and member('u', deadline, id)}
  for _, name in ipairs(names_of(marks)) do
    members[#members + 1] = member(name, time, id)
  end
  return members
end

-- Takes a session out of all lists of marked sessions. Returns how many members these lose.
local function unmark(id)
  local time, deadline, marks = known_of(id)
  if not time then
    return 0
  end
  redis.call('HDEL', marked, id)
  return redis.call('ZREM', lists, unpack(members_of(id, time, deadline, marks)))
end

-- Puts a session in the lists that it belongs in, then takes it out of the others: emptied in between, the keys would
-- lose their deadline.
local function mark(id, time, deadline, marks)
  local before, scored, stays = members_of(id, known_of(id)), {}, {}
  for _, name in ipairs(members_of(id, time, deadline, marks)) do
    scored[#scored + 1] = '0'
    scored[#scored + 1] = name
    stays[name] = true
  end
  redis.call('ZADD', lists, unpack(scored))
  for _, name in ipairs(before) do
    if not stays[name] then
      redis.call('ZREM', lists, name)
    end
  end
  local ends = deadline and written(deadline) or ''
  redis.call('HSET', marked, id, written(within(time)) .. ':' .. ends .. ':' .. marks)
end

-- A user without marked sessions needs no right to the commands that only their lists need.
local function has_lists()
  return marked and redis.call('EXISTS', lists) == 1
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
    over = redis.call('ZRANGEBYLEX', lists, '[u/', '(' .. member('u', now + 1, ''), 'LIMIT', 0, SLICE)
    local removed = 0
    for _, name in ipairs(over) do
      removed = removed + unmark(string.sub(name, #member('u', now, '') + 1))
      if removed >= MEMBERS then
        break
      end
    end
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

local tasks = {}

function tasks.get()
  local time, known = redis.call('ZSCORE', index, ARGV[2]), known_of(ARGV[2])
  return known and known > (tonumber(time or nil) or 0) and written(known) or time or ''
end

local function list_marked(name, time, id, count, newest)
  local from, to = '[' .. name .. '/', '(' .. name .. '0' -- "0" is the byte behind "/"
  if newest then
    from, to = to, from
  end
  if time then
    from = '(' .. member(name, time, id)
  end
  local found = redis.call(newest and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX', lists, from, to, 'LIMIT', 0, count)
  local listed, head = {}, #name + 1
  for _, one in ipairs(found) do
    listed[#listed + 1] = string.sub(one, head + 18)
    listed[#listed + 1] = written(tonumber(string.sub(one, head + 1, head + 16)))
  end
  return listed
end

local function list_index(time, id, count, newest)
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
end

function tasks.list()
  forget_expired()
  local time, id, count, newest = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == 'newest'
  local listed = {}
  for at = 6, #ARGV do
    listed[at - 5] = ARGV[at] == '' and list_index(time, id, count, newest)
      or has_lists() and list_marked(ARGV[at], time, id, count, newest) or {}
  end
  return #ARGV < 6 and list_index(time, id, count, newest) or listed
end

function tasks.count()
  forget_expired()
  local counts = {}
  for at = 2, #ARGV do
    local name = ARGV[at]
    counts[at - 1] = name == '' and redis.call('ZCARD', index)
      or redis.call('ZLEXCOUNT', lists, '[' .. name .. '/', '(' .. name .. '0')
  end
  return counts
end

function tasks.drop()
  local removed, at = 0, 2
  while at < #ARGV and removed < MEMBERS do
    local time, id, known = tonumber(ARGV[at]), ARGV[at + 1], known_of(ARGV[at + 1])
    local stored = tonumber(redis.call('ZSCORE', index, id) or nil)
    if (stored or known) and (not stored or stored <= time) and (not known or known <= time) then
      redis.call('ZREM', index, id)
      redis.call('ZREM', deadlines, id)
      removed = removed + unmark(id)
      publish_session('removed', math.max(stored or known, known or stored), id)
    end
    at = at + 2
  end
  return marked and {(at - 2) / 2, has_lists() and 1 or 0} or 0
end

function tasks.add()
  local id, ttl, how = ARGV[3], tonumber(ARGV[4]), ARGV[5]
  local now = tonumber(microseconds_now())
  local stored, known, _, marks = tonumber(redis.call('ZSCORE', index, id) or nil), known_of(id)
  local before = math.max(stored or known or 0, known or stored or 0)
  local left, marked_left = redis.call('PTTL', index), marked and redis.call('PTTL', marked)
  -- The session is written already, so its entry must not fail even if memory is full. Once a script has written, the
  -- server lets it run any command.
  redis.call('ZREM', index, '')
  if (how == 'XX' or how == 'TTL') and not (stored or known) then
    return marked and '' or 0
  end
  -- Who did not know that it is archived may just have added it to the index.
  local time = is_archived(marks) and known or before
  if how == 'CH' or how == 'XX' or not (stored or known) then
    time = tonumber(ARGV[2]) or now
    time = ARGV[2] == '' and math.max(time, before + 1) or time
  end
  local deadline = ttl and now / 1000 + ttl
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
    mark(id, time, deadline, marks)
    keep(marked, lists, marked_left, ttl)
  elseif marked then
    unmark(id)
  end
  forget_expired()
  if how == 'CH' or how == 'XX' or not (stored or known) then
    publish_session('written', time, id)
  elseif ARGV[6] == '1' then
    publish_session('title', time, id)
  end
  return marked and marks or 1
end

return tasks[ARGV[1]]()
