-- Before the scripts of sessions: where in the list a position is. An element is `position:record`; positions grow along
-- the list, with gaps where messages were removed.
local SLICE = 1000 -- unpack stops at about 8,000 values

local function in_slices(command, name, values)
  for from = 1, #values, SLICE do
    redis.call(command, name, unpack(values, from, math.min(from + SLICE - 1, #values)))
  end
end

local function written(position)
  return string.format('%.0f', position)
end

-- Returns a number of at most 15 digits, which Lua counts exactly; nothing for whatever else is there.
local function number_in(text)
  local digits = text and string.match(text, '^%d+$')
  return digits and #digits <= 15 and tonumber(digits) or nil
end

local walked -- while it is a table: the positions of damaged elements that were looked for already

-- A damaged element counts as the one behind its neighbour.
local function position_at(list, index)
  local position = index
  for back = 0, index do
    local known = walked and walked[index - back]
    local element = not known and redis.call('LINDEX', list, index - back)
    local digits = element and string.match(string.sub(element, 1, 16), '^(%d+):')
    if known or digits then
      position = (known or tonumber(digits)) + back
      break
    end
  end
  if walked then
    walked[index] = position
  end
  return position
end

-- Returns the index of the first element at a position or behind it; the list's length where there is none.
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
  -- Without a gap behind it, it is where the end says; else at most where the head says.
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

-- Returns the index of the element at a position, or nothing.
local function index_of(list, position)
  local index = index_from(list, position)
  if index < redis.call('LLEN', list) and position_at(list, index) == position then
    return index
  end
end

-- Returns the position of the message with an id, and its index, or nothing. Ids of removed messages may linger.
local function find_id(list, ids, id)
  local seen = redis.call('HGET', ids, 'm' .. id)
  local position = seen and tonumber(string.match(seen, '^%d+'))
  local index = position and index_of(list, position)
  if index then
    return position, index, seen
  end
end
