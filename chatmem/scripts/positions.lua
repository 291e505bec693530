-- Shared by scripts of sessions: where a position is in the list. An element is `position:record`. Positions grow
-- along the list, with gaps where messages were removed.
local SLICE = 1000 -- unpack stops at about 8,000 values

local function in_slices(command, name, values)
  if #values > 0 and #values <= SLICE then
    redis.call(command, name, unpack(values))
    return
  end
  for from = 1, #values, SLICE do
    redis.call(command, name, unpack(values, from, math.min(from + SLICE - 1, #values)))
  end
end

-- Returns the position of an element. A damaged one counts as following its neighbour.
local function position_at(list, index)
  local position = index
  for back = 0, index do
    local element = redis.call('LINDEX', list, index - back)
    local digits = element and string.match(string.sub(element, 1, 16), '^(%d+):')
    if digits then
      position = tonumber(digits) + back
      break
    end
  end
  return position
end

-- Returns the index of the first element at or behind a position, or the length of the list if there is none.
local function index_from(list, position)
  local length = redis.call('LLEN', list)
  if length == 0 then
    return 0
  end
  local first, last = position_at(list, 0), position_at(list, length - 1)
  if position <= first then
    return 0
  elseif position > last then
    return length
  end
  -- Gaps only shift elements towards the head: counting from either end bounds the search.
  local low, high = math.max(length - 1 - (last - position), 0), math.min(position - first, length - 1)
  if position_at(list, low) >= position then
    return low
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if position_at(list, middle) < position then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Returns the index of the element at a position, or nil.
local function index_of(list, position)
  local index = index_from(list, position)
  if index < redis.call('LLEN', list) and position_at(list, index) == position then
    return index
  end
end

-- Returns the position that the next message gets.
local function next_position(session)
  local following = session.next
  if following and (session.length == 0 or session.epoch) then
    return following
  end
  following = math.max(following or 0, session.length > 0 and position_at(list, session.length - 1) + 1 or 0)
  return math.min(following, FULL - 10 ^ 14) -- others may have written any number there
end

-- Returns a position as the index stores it. Each compaction reuses the positions at the head, so these carry the
-- version of the compaction that used them last.
local function place(session, position)
  local reused = position < session.pinned
  return reused and written(position) .. '~' .. session.generation or written(position)
end

-- Returns the position that a value of the index stands for, and the element's index in the list; nil if it is gone.
local function find(session, value)
  local position = value and number_in(string.match(value, '^%d+'))
  if not position or position < session.pinned and string.match(value, '~(%d+)$') ~= session.generation then
    return
  end
  local index = index_of(list, position)
  if index then
    return position, index
  end
end

-- Returns the position of the message with an id, and its index in the list, or nil. The index may still hold ids of
-- removed messages.
local function find_id(session, id)
  if session.index ~= NO_INDEX then
    return find(session, redis.call('HGET', ids, 'm' .. id))
  end
end
