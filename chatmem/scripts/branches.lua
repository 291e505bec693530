-- Shared by scripts of sessions: branches. The list holds the messages of all branches, in the order in which they
-- came. A branch is a list of ranges of positions: the messages that it shows, some of which others show too. The
-- state's field "branches" exists only where there are several: "active following", the numbers of the active branch
-- and of the next new one, then for each branch "|number created updated 0-5,10-15". The active branch's last range has
-- no end, "10-": what is appended belongs to it. The index holds a copy, from which a lost state is rebuilt.
--
-- Who reads the list alone must notice that it holds more than the active branch. So where there are branches, the
-- position in the last element begins with a zero.

-- Returns a position as it stands in an element.
local function label(session, position)
  return ((session.branches or session.answers) and '0' or '') .. written(position) .. ':'
end

-- Returns the ranges of a branch, or of the active one.
local function ranges_of(session, number)
  local ranges = {}
  number = number or session.branches and string.match(session.branches, '^%d+')
  if not number then
    return {{0, math.huge}}
  end
  local text = string.match(session.branches, '|' .. number .. ' %d+ %d+ ([^|]*)')
  for from, to in string.gmatch(text or '', '(%d+)%-(%d*)') do
    ranges[#ranges + 1] = {tonumber(from), tonumber(to) or math.huge}
  end
  return ranges
end

-- Returns whether ranges hold a position.
local function within(ranges, position)
  for _, range in ipairs(ranges) do
    if position >= range[1] and position <= range[2] then
      return true
    end
  end
  return false
end

-- Returns where the list holds the messages of ranges between two positions, both excluded: pairs of indexes, the
-- second excluded, oldest first. Of more than `most` messages it returns the first or, if `newest`, the last ones, and 1.
local function spans(ranges, after, before, most, newest)
  local found, more, left = {}, 0, most
  local first, last, step = 1, #ranges, 1
  if newest then
    first, last, step = last, first, -1
  end
  for number = first, last, step do
    local from, to = math.max(ranges[number][1], after + 1), math.min(ranges[number][2], before - 1)
    if from <= to and more == 0 then
      local low = from > 0 and index_from(list, from) or 0
      local high = to == math.huge and redis.call('LLEN', list) or index_from(list, to + 1)
      if high - low > left then
        more = 1
        low, high = newest and high - left or low, newest and high or low + left
      end
      if high > low then
        table.insert(found, newest and 1 or #found + 1, {low, high})
        left = left - (high - low)
      end
    end
  end
  found.length = most - left
  if most == math.huge then
    found.length = 0
    for _, part in ipairs(found) do
      found.length = found.length + part[2] - part[1]
    end
  end
  return found, more
end

-- Returns where the list holds what the active branch shows.
local function view_of(session)
  return (spans(ranges_of(session), -1, math.huge, math.huge))
end

-- Returns the index in the list of a view's message. The index in the view may be its length.
local function in_list(view, index)
  for number, part in ipairs(view) do
    local size = part[2] - part[1]
    if index < size or number == #view then
      return part[1] + index
    end
    index = index - size
  end
  return 0
end

local function elements_in(parts)
  local elements = {}
  for _, part in ipairs(parts) do
    local some = redis.call('LRANGE', list, part[1], part[2] - 1)
    if #parts == 1 then
      return some
    end
    for _, element in ipairs(some) do
      elements[#elements + 1] = element
    end
  end
  return elements
end

-- Returns the position up to which a stored summary speaks, -1 for before the first message.
local function end_of(text)
  return tonumber(string.match(text or '', '^(%-?%d+);') or nil)
end

-- Returns the same and the summary's elements, nil if there is no summary of the branch with these ranges.
local function summary_in(text, ranges)
  local last = end_of(text)
  if last and (last < 0 or within(ranges, last)) then
    return last, string.match(text, ';(.*)$')
  end
end

-- Returns a summary as the state keeps it, of the records in every `step`th argument from `from` on. Its messages count
-- from 2^48, so none is taken for a message of the session.
local function summary_of(last, from, step)
  local elements = {}
  for at = from, #ARGV, step do
    local element = written(281474976710656 + (at - from) / step) .. ':' .. ARGV[at]
    elements[#elements + 1] = #element .. ':' .. element
  end
  return written(last) .. ';' .. table.concat(elements)
end

local function move_summary(text, last)
  redis.call('HSET', state, 'summary', written(last) .. string.match(text, ';.*$'))
end

-- Removes the annotations of elements that are about to go. Of many, it leaves the sweep most: no reader finds them.
local function forget_notes(session, from, to)
  local fields = {}
  for index = from, session.noted and math.min(to, from + 5000) - 1 or -1 do
    fields[#fields + 1] = 'a' .. written(position_at(list, index))
  end
  in_slices('HDEL', ids, fields)
end

-- Returns the number of messages at the head of the active branch that a compaction put there.
local function heads(session)
  return session.pinned > 0 and spans(ranges_of(session), -1, session.pinned, math.huge).length or 0
end
