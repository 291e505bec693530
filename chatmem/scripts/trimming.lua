-- Before the scripts that remove messages: where a list may be cut, and which ids to forget.
local TOOL, SYSTEM = {t = true, T = true, f = true, F = true}, {s = true, S = true}
local BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

-- Returns a message's kind, as codec/record.py has it, and whether it calls tools.
local function kind_at(list, index)
  local element = redis.call('LINDEX', list, index)
  local record = element and string.match(string.sub(element, 1, 30), '^%d*:?(.*)$') or ''
  local flags, kind = string.byte(record, 2), string.sub(record, 3, 3)
  if string.sub(record, 1, 1) == 'A' then
    local a, b, c = string.match(record, '^.(.)(.)(.)')
    a, b, c = (string.find(BASE64, a or '', 1, true) or 1) - 1, (string.find(BASE64, b or '', 1, true) or 1) - 1,
      (string.find(BASE64, c or '', 1, true) or 1) - 1
    flags, kind = a % 16 * 16 + math.floor(b / 4), string.char(b % 4 * 64 + c)
  elseif string.sub(record, 1, 1) == '{' then
    kind = string.match(record, '"type": ?"(%a)') or ''
  end
  return kind, math.floor((flags or 0) / 4) % 2 == 1
end

-- Returns the nearest index, at this one or before it, at which the list can be cut without splitting a tool exchange.
local function whole(list, index)
  local length = redis.call('LLEN', list)
  local at = math.min(index, length - 1)
  while at > 0 and TOOL[(kind_at(list, at))] do
    at = at - 1
  end
  if index < length then
    return at
  end
  return select(2, kind_at(list, at)) and at or length -- the last exchange may still wait for results
end

-- Forgets the ids and keys whose messages are gone, once they are so many that it pays.
local function sweep(list, ids, gone)
  if not gone and redis.call('HLEN', ids) <= 2 * redis.call('LLEN', list) + 64 then
    return
  end
  local names, all = {}, redis.call('HGETALL', ids)
  walked = {}
  local first = position_at(list, 0)
  for at = 1, #all, 2 do
    local name, value = all[at], all[at + 1]
    local removed
    if string.sub(name, 1, 1) == 'm' then
      local position = number_in(string.match(value, '^%d+'))
      removed = not position or gone and gone(position) or not gone and not index_of(list, position)
    else
      local last = tonumber(string.match(value, '^%d+:%-?%d+:(%-?%d+)') or nil)
      removed = not gone and not (last and last >= first)
    end
    if removed then
      names[#names + 1] = name
    end
  end
  walked = nil
  in_slices('HDEL', ids, names)
end

-- Keeps the last so many messages, whole tool exchanges, and a system message at the head.
local function trim(list, ids, most)
  local cut = whole(list, math.max(redis.call('LLEN', list) - most, 0))
  local head = SYSTEM[(kind_at(list, 0))] and redis.call('LINDEX', list, 0)
  if cut <= (head and 1 or 0) then
    return
  end
  redis.call('LTRIM', list, cut, -1)
  if head then
    redis.call('LPUSH', list, head)
  end
  sweep(list, ids)
end
