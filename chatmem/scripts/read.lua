-- Reads what a list command cannot read, or must not without checking the session's user.
-- KEYS: list, ids, state.
-- ARGV: 1 the user that the session must belong to, empty for any   2 "1" if it may belong to nobody   3 what to read:
--       "id": 4 a message's id, "at": 4 a position. Returns {0, its element, or nil if there is none}.
--       "page": 4 and 5 the positions behind and before which to read, empty for none, 6 how many, 7 "first" or "last",
--         8 how many bytes to read before it stops, empty for no limit. Returns {0, 1 if there are more elements in that direction, else 0; the elements, oldest first; the position
--         of the first; the session's version; its user; the version of the last change that was not an append; how
--         many messages are pinned at the head}.
--       "tail": 4 how many of the last elements, empty for all. Returns {0, elements}.
--       "window": 4 how many of the last elements, 5 "1" to return them. Returns {0, the length of the list, the
--         pinned or system messages at the head, the position of the first of the last elements, the position of the
--         last, the version of the last change that was not an append, the last elements}.
--       "count": returns {0, the number of messages}.
--       "info": then fields of the state. Returns {0, the number of messages, the fields' values, TTL in milliseconds}.
-- Returns {-3} if the session is another user's, or nobody's; {-9, why} if it is torn, see session.lua.
local user, how, what = ARGV[1], ARGV[3], ARGV[4]
local FEW = 8 -- elements that are read at a time where the number of bytes is limited
local MOST_SYSTEM = 8 -- so many system messages at the head stay in a window

local session, refused = look(user, ARGV[2] == '1')
if refused and (user ~= '' or session == nil or session.length == 0 or how == 'info' or how == 'id') then
  return refused
elseif how == 'id' and session.index_lost then
  return {TORN, 'index'}
end
local length = session.length

local function head()
  local count, lists = heads(session), trimming()
  while count < MOST_SYSTEM and count < length and lists.SYSTEM[(lists.kind_at(count))] do
    count = count + 1
  end
  return count > 0 and redis.call('LRANGE', list, 0, count - 1) or {}
end

local tasks = {}

function tasks.id()
  local _, index = find_id(session, what)
  return {0, index and redis.call('LINDEX', list, index)}
end

function tasks.at()
  local index = index_of(list, tonumber(what))
  return {0, index and redis.call('LINDEX', list, index)}
end

function tasks.tail()
  return {0, redis.call('LRANGE', list, what == '' and 0 or '-' .. what, -1)}
end

function tasks.count()
  return {0, length}
end

function tasks.window()
  local from = math.max(length - tonumber(what), 0)
  local first, last = length > 0 and position_at(list, from) or 0, length > 0 and position_at(list, length - 1) or 0
  local tail = ARGV[5] == '1' and redis.call('LRANGE', list, from, -1) or {}
  return {0, length, head(), first, last, session.edited, tail}
end

-- Returns elements between two indexes from one end on, until they have so many bytes, and the index of the first.
local function some(from, to, most, at_end)
  local parts, size, at = {}, 0, at_end and to or from
  while size < most and (at_end and at > from or not at_end and at < to) do
    local low, high = at, math.min(at + FEW, to)
    if at_end then
      low, high = math.max(at - FEW, from), at
    end
    local part = redis.call('LRANGE', list, low, high - 1)
    for _, element in ipairs(part) do
      size = size + #element
    end
    table.insert(parts, at_end and 1 or #parts + 1, part)
    at = at_end and low or high
  end
  local elements = {}
  for _, part in ipairs(parts) do
    for _, element in ipairs(part) do
      elements[#elements + 1] = element
    end
  end
  return elements, at_end and at or from
end

function tasks.page()
  local before, limit = ARGV[5], tonumber(ARGV[6])
  local from = what == '' and 0 or index_from(list, tonumber(what) + 1)
  local to = before == '' and length or index_from(list, tonumber(before))
  local more = to - from > limit and 1 or 0
  if ARGV[7] == 'last' then
    from = math.max(from, to - limit)
  else
    to = math.min(to, from + limit)
  end
  local elements = {}
  if ARGV[8] ~= '' then
    local count = to - from
    elements, from = some(from, to, tonumber(ARGV[8]), ARGV[7] == 'last')
    more = #elements < count and 1 or more
  elseif to > from then
    elements = redis.call('LRANGE', list, from, to - 1)
  end
  return {0, more, elements, position_at(list, from), session.version, session.owner or '', session.edited,
    session.pinned}
end

function tasks.info()
  local fields = redis.call('HMGET', state, unpack(ARGV, 4))
  return {0, length, fields, redis.call('PTTL', state)}
end

return tasks[how]()
