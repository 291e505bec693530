-- The tasks of read.lua.
local FEW = 8 -- elements that are read at a time where the number of bytes is limited

local session, refused = look(user, ARGV[2] == '1', 'summary')
local over = session and not refused and overdue(session)
if over then
  return over
end
if refused and (user ~= '' or session == nil or session.length == 0 or how == 'info' or how == 'id') then
  return refused
elseif how == 'id' and session.index_lost then
  return {TORN, 'index'}
end
local length = session.length

local function head()
  local view = session.branches and view_of(session) or {{0, length}, length = length}
  local count, lists = heads(session), trimming()
  while count < MOST_SYSTEM and count < view.length and lists.SYSTEM[(lists.kind_at(in_list(view, count)))] do
    count = count + 1
  end
  return elements_in(spans(ranges_of(session), -1, math.huge, count))
end

-- Returns the annotations of elements, empty for none.
local function notes_of(elements, position)
  local fields, notes = {}, {}
  for at, element in ipairs(elements) do
    position = tonumber(string.match(string.sub(element, 1, 17), '^(%d+):') or position + 1)
    fields[at] = 'a' .. written(position)
  end
  for from = 1, #fields, SLICE do
    for _, note in ipairs(redis.call('HMGET', ids, unpack(fields, from, math.min(from + SLICE - 1, #fields)))) do
      notes[#notes + 1] = note or ''
    end
  end
  return notes
end

local function message_at(position, index)
  local element = index and redis.call('LINDEX', list, index)
  if not element then
    return {0}
  end
  return {0, element, session.noted and notes_of({element}, position)[1] or nil}
end

-- Returns the elements of a summary.
local function elements_of(text)
  local elements, at = {}, 1
  while at <= #text do
    local size, start = string.match(text, '^(%d+):()', at)
    elements[#elements + 1] = string.sub(text, start, start + size - 1)
    at = start + size
  end
  return elements
end

local tasks = {}

function tasks.summary()
  local last, text = summary_in(session.summary, what == '1' and {{0, math.huge}} or ranges_of(session))
  return last and {0, last, elements_of(text)} or {0}
end

function tasks.id()
  return message_at(find_id(session, what))
end

function tasks.at()
  return message_at(tonumber(what), index_of(list, tonumber(what)))
end

function tasks.tail()
  return {0, elements_in(spans(ranges_of(session), -1, math.huge, tonumber(what) or math.huge, true))}
end

function tasks.count()
  return {0, session.branches and view_of(session).length or length}
end

function tasks.window()
  local parts, more = spans(ranges_of(session), -1, math.huge, tonumber(what), true)
  local first, last = 0, 0
  if #parts > 0 then
    first, last = position_at(list, parts[1][1]), position_at(list, parts[#parts][2] - 1)
  end
  local said = {0, parts.length + more, head(), first, last, session.edited,
    ARGV[5] == '1' and elements_in(parts) or {}}
  local boundary, text = summary_in(session.summary, ranges_of(session))
  if boundary then
    said[8], said[9] = boundary, elements_of(text)
  end
  return said
end

-- Returns elements of parts of the list from one end on, until they have so many bytes, and the index of the first.
local function some(parts, most, at_end)
  local pieces, size, first = {}, 0, 0
  local from, to, step = 1, #parts, 1
  if at_end then
    from, to, step = to, from, -1
  end
  for number = from, to, step do
    local low, high = parts[number][1], parts[number][2]
    while low < high and size < most do
      local start = at_end and math.max(high - FEW, low) or low
      local stop = at_end and high or math.min(low + FEW, high)
      local piece = redis.call('LRANGE', list, start, stop - 1)
      for _, element in ipairs(piece) do
        size = size + #element
      end
      first = (at_end or #pieces == 0) and start or first
      table.insert(pieces, at_end and 1 or #pieces + 1, piece)
      low, high = at_end and low or stop, at_end and start or high
    end
  end
  local elements = {}
  for _, piece in ipairs(pieces) do
    for _, element in ipairs(piece) do
      elements[#elements + 1] = element
    end
  end
  return elements, first
end

function tasks.page()
  local newest, all = ARGV[7] == 'last', ARGV[9] == '1' and {{0, math.huge}}
  local parts, more = spans(all or ranges_of(session), tonumber(what) or -1, tonumber(ARGV[5]) or math.huge,
    tonumber(ARGV[6]), newest)
  local elements, first
  if ARGV[8] == '' then
    elements, first = elements_in(parts), #parts > 0 and parts[1][1] or 0
  else
    elements, first = some(parts, tonumber(ARGV[8]), newest)
    more = #elements < parts.length and 1 or more
  end
  local position = position_at(list, first)
  local reply = {0, more, elements, position, session.version, session.owner or '', session.edited, session.pinned}
  if session.branches or session.noted or session.summary then
    local before = session.branches and spans(ranges_of(session), -1, position, 1, true)[1]
    reply[9], reply[10] = before and position_at(list, before[1]) or -1, not all and session.branches or ''
  end
  if session.noted or session.summary then
    reply[11] = session.noted and notes_of(elements, position) or {}
  end
  if session.summary then
    reply[12] = 1
  end
  return reply
end

function tasks.branches()
  return {0, session.branches or '', length > 0 and position_at(list, length - 1) or -1, session.created or '0',
    session.updated or '0'}
end

function tasks.info()
  local fields = redis.call('HMGET', state, unpack(ARGV, 4))
  local count = session.branches and view_of(session).length or length
  return {0, count, fields, redis.call('PTTL', state), session.marks or session.answers and '', session.answers}
end

return tasks[how]()
