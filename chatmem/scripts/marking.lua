-- Shared by the tasks of user.lua: the lists of marked sessions.
-- Lua makes every function anew in every call, so `marking` makes these where they are needed.
local marking_made
local function marking()
  if marking_made then
    return marking_made
  end

  local function within(number)
    return math.max(0, math.min(number, MOST))
  end

  local function member(name, number, id)
    return name .. '/' .. string.format('%016.0f', within(number)) .. '/' .. id
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
    local known = redis.call('HGET', marked, id) or ''
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

  -- Removes expired sessions from the lists, MEMBERS members of them at most.
  local function forget_marked(now)
    local over = redis.call('ZRANGEBYLEX', lists, '[u/', '(' .. member('u', now + 1, ''), 'LIMIT', 0, SLICE)
    local removed = 0
    for _, name in ipairs(over) do
      local id = string.sub(name, #member('u', now, '') + 1)
      local _, deadline = known_of(id)
      local is_over = deadline and member('u', deadline, id) == name
      removed = removed + (is_over and unmark(id) or redis.call('ZREM', lists, name))
      if removed >= MEMBERS then
        break
      end
    end
  end

  -- Rebuilds the lists from the hash.
  local function list_again()
    local known = redis.pcall('HGETALL', marked) -- the user may lack the right to it
    for at = 1, #known, 2 do
      local time, deadline, marks = known_of(known[at])
      for _, name in ipairs(members_of(known[at], time or 0, deadline, marks)) do
        redis.call('ZADD', lists, '0', name)
      end
    end
  end

  -- Rebuilds the hash from the lists. Tags come in the order of their bytes.
  local function know_again()
    local last, found, sessions = '-', nil, {}
    repeat
      found = redis.call('ZRANGEBYLEX', lists, last, '+', 'LIMIT', 0, SLICE)
      for _, name in ipairs(found) do
        local kind, number, id = string.match(name, '^([^/]+)/(%d+)/(.*)$')
        local one = id and (sessions[id] or {time = 0, ends = '', tags = {}}) or {}
        if kind == 'u' then
          one.ends = written(tonumber(number))
        elseif kind then
          local half, pinned, tag = string.match(kind, '^([ac])(p?)(.*)$')
          one.time = math.max(one.time, tonumber(number))
          one.flags = (half == 'a' and 'a' or '') .. (pinned == 'p' and 'p' or string.match(one.flags or '', 'p') or '')
          one.tags[#one.tags + 1] = pinned == '' and tag or nil
        end
        sessions[id or ''] = one
      end
      last = '(' .. (found[#found] or '')
    until #found < SLICE
    for id, one in pairs(sessions) do
      if one.flags then
        redis.call('HSET', marked, id, written(one.time) .. ':' .. one.ends .. ':' .. one.flags .. table.concat(one.tags))
      end
    end
  end

  -- Rebuilds the one of the two keys that is gone from the other, which holds the same.
  local function mend()
    local lost, kept = marked, lists
    redis.call('ZREM', lists, '') -- allows the commands below even if memory is full
    if redis.call('EXISTS', marked) == 1 then
      lost, kept = lists, marked
      list_again()
    else
      know_again()
    end
    local left = redis.call('PTTL', kept)
    if left > 0 then
      redis.call('PEXPIRE', lost, left)
    end
  end

  marking_made = {within = within, member = member, known_of = known_of, unmark = unmark,
    mark = mark, mend = mend, forget = forget_marked}
  return marking_made
end
