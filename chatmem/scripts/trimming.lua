-- Shared by scripts of sessions: what a record's header says, where a list may be cut, and which ids to forget.
-- Lua makes every function anew in every call. Most calls need none of these, so `trimming` makes them on first use.
local made
local function trimming()
  if made then
    return made
  end
  local TOOL, SYSTEM = {t = true, T = true, f = true, F = true}, {s = true, S = true}
  local BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  local EXTENDED, CALLS_TOOLS, COMPRESSED, SEALED = 1, 4, 8, 16
  local LARGEST_EXCHANGE = 128 -- messages; a tool exchange that seems longer may be cut

  local function has(flags, flag)
    return math.floor((flags or 0) / flag) % 2 == 1
  end

  local function record_in(element)
    return string.match(string.sub(element, 1, 17), '^%d+:()') and string.sub(element, string.find(element, ':', 1, true) + 1)
      or element
  end

  -- Returns the flags of a record and the kind of its message; see codec/record.py.
  local function header_in(record)
    local flags, kind = string.byte(record, 2), string.sub(record, 3, 3)
    if string.sub(record, 1, 1) == 'A' then
      local a, b, c = string.match(record, '^.(.)(.)(.)')
      a, b, c = (string.find(BASE64, a or '', 1, true) or 1) - 1, (string.find(BASE64, b or '', 1, true) or 1) - 1,
        (string.find(BASE64, c or '', 1, true) or 1) - 1
      flags, kind = a % 16 * 16 + math.floor(b / 4), string.char(b % 4 * 64 + c)
    elseif string.sub(record, 1, 1) == '{' then
      flags, kind = 0, string.match(record, '"type": ?"(%a)') or ''
    end
    return flags, kind
  end

  -- Returns the kind of the message at an index, and whether it calls tools.
  local function kind_at(index)
    local element = redis.call('LINDEX', list, index)
    local flags, kind = header_in(element and string.match(string.sub(element, 1, 30), '^%d*:?(.*)$') or '')
    return kind, has(flags, CALLS_TOOLS)
  end

  -- Compares a stored record with a given one of the same id. Returns "same" if they differ at most in their times and
  -- in which fields were set explicitly, "other" if not, "stale" if the stored one has another id, and nil if that
  -- cannot be told here: records may be compressed, encrypted, or hold classes that a reader without them stores as
  -- plain data.
  local function beside(stored, given)
    local form = string.sub(given, 1, 1)
    if stored == given then
      return 'same'
    elseif string.sub(stored, 1, 1) ~= form then
      return nil
    elseif form == 'A' then -- the field set and the time are characters 5 to 18
      if string.sub(stored, 1, 4) == string.sub(given, 1, 4) and string.sub(stored, 19) == string.sub(given, 19) then
        return 'same'
      end
      return nil
    end
    if string.sub(stored, 2, 3) == string.sub(given, 2, 3) and string.sub(stored, 14) == string.sub(given, 14) then
      return 'same'
    end
    local flags, given_flags = string.byte(stored, 2), string.byte(given, 2)
    if form ~= '\1' or has(flags, COMPRESSED) or has(flags, SEALED) or has(given_flags, COMPRESSED) or
      has(given_flags, SEALED) or has(flags, EXTENDED) or has(given_flags, EXTENDED) or #stored < 15 then
      return nil
    end
    local length = string.byte(given, 14) * 256 + string.byte(given, 15)
    return string.sub(stored, 14, 15 + length) == string.sub(given, 14, 15 + length) and 'other' or 'stale'
  end

  -- Returns the nearest index, at this one or before it, where a cut splits no tool exchange.
  local function whole(index, most)
    local length = redis.call('LLEN', list)
    local start = math.min(index, length - 1)
    local at, least = start, math.max(start - most, 0)
    while at > least and TOOL[(kind_at(at))] do
      at = at - 1
    end
    if at == least and at > 0 and TOOL[(kind_at(at))] then
      return index
    end
    if index < length then
      return at
    end
    return select(2, kind_at(at)) and at or length -- the last exchange may still be waiting for results
  end

  local function is_over(session, name, value, first)
    local kind = string.sub(name, 1, 1)
    if kind == 'm' or kind == 'd' then
      return not find(session, value)
    elseif kind == 'k' then
      local last = tonumber(string.match(value, '^%d+:%-?%d+:(%-?%d+)') or nil)
      return not (last and last >= first)
    end
  end

  -- Forgets ids and keys whose messages are gone, a piece of the index at a time, if they may be most of it.
  local function sweep(session, token)
    local length = redis.call('LLEN', list)
    if session.index == NO_INDEX or redis.call('HLEN', ids) <= 3 * length + 64 then
      return
    end
    local cursor = tonumber(string.sub(redis.sha1hex(token), 1, 8), 16) -- any number is a cursor, so in time each piece gets its turn
    local some, names = redis.call('HSCAN', ids, written(cursor), 'COUNT', 100)[2], {}
    local first = length > 0 and position_at(list, 0) or math.huge
    for at = 1, #some, 2 do
      if is_over(session, some[at], some[at + 1], first) then
        names[#names + 1] = some[at]
      end
    end
    in_slices('HDEL', ids, names)
  end

  -- Keeps the last `most` messages, the tool exchange that they begin in, and what is pinned. Returns the first and the
  -- last position that it removed, or nil.
  local function trim(session, most)
    local length = redis.call('LLEN', list)
    if length <= most then
      return
    end
    local head = heads(session)
    if head == 0 and SYSTEM[(kind_at(0))] then
      head = 1
    end
    local cut = whole(length - most, math.max(most, LARGEST_EXCHANGE))
    if cut <= head then
      return
    end
    local removed = {position_at(list, head), position_at(list, cut - 1)}
    local kept = head > 0 and redis.call('LRANGE', list, 0, head - 1) or {}
    redis.call('LTRIM', list, cut, -1)
    local backwards = {}
    for at = #kept, 1, -1 do
      backwards[#backwards + 1] = kept[at]
    end
    in_slices('LPUSH', list, backwards)
    return removed
  end

  made = {has = has, record_in = record_in, kind_at = kind_at, beside = beside, whole = whole, sweep = sweep, trim = trim,
    SYSTEM = SYSTEM, COMPRESSED = COMPRESSED, SEALED = SEALED, LARGEST_EXCHANGE = LARGEST_EXCHANGE}
  return made
end
