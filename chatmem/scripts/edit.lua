-- Changes the messages of a session, or the session itself.
-- KEYS: list, ids, state.
-- ARGV: 1 to 7 as for append.lua, 8 the task, and for
--       "replace", "delete", "truncate", "compact": 9 "id" or "at", 10 a message's id or position;
--       "replace": 11 the position that the record is encrypted for, empty for any, 12 "=" and the id of the message
--                  at that position, empty if unknown, then an id, a digest, the record;
--       "compact": 11 the positions that the records are encrypted for, from 0 on, 12 empty, then for each message an
--                  id, a digest, the record;
--       "update": 9 "=" and the title, 10 "=" and the metadata, each empty to keep it, 11 "=" and the metadata that the
--                 state must hold until then, empty for any;
--       "clear": 9 the user who must own the session, empty for anyone;
--       "touch": nothing.
-- Returns {version, position, the same position, messages changed or removed, user, time of the write before};
--         {-1, version} if the session is not at the expected version, or does not hold the expected metadata;
--         {-3} if the session is another user's, or nobody's;
--         {-4} if there is no such message or session;
--         {-5, index} if another message has the id of a given one;
--         {-6, most} if the replacement has more messages than there are positions for;
--         {-7, position} if the record is encrypted for another position;
--         {-8, version, element} if the id of the message at a position cannot be told here;
--         {-9, why} if the session is torn, see session.lua; {-10} if the call comes late, see recent.lua.
local token, now, ttl, restart, expected, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local task, how, what, HEAD = ARGV[8], ARGV[9], ARGV[10], 12

-- Erases whatever the session's keys hold, of any type and any life.
if task == 'clear' then
  local known = redis.pcall('HMGET', state, 'user', 'version', 'updated', 'recent')
  local sign = redis.pcall('HGET', ids, 'e')
  local owner = not known.err and known[1] or type(sign) == 'string' and owner_in(sign) or nil
  local wanted = how ~= '' and how or user
  local unowned = not owner and not known.err and known[2] and ARGV[7] ~= '1'
  local absent = how ~= '' and redis.call('EXISTS', list, ids, state) == 0
  if wanted ~= '' and (owner and owner ~= wanted or unowned) or absent then
    return {OTHER_USER}
  end
  local length = redis.pcall('LLEN', list)
  redis.call('UNLINK', list, ids, state)
  return {not known.err and number_in(known[2]) or 0, -1, -1, type(length) == 'number' and length or 0, owner or '',
    not known.err and string.match(known[3] or '', '^%d+$') or '0'}
end

local lists = trimming()
local session, refused = look(user, ARGV[7] == '1')
if refused then
  return refused
end
local version, owner = session.version, session.owner or user
local updated = string.match(session.updated or '', '^%d+$') or '0'
local length = session.length
local done, late, others = recall(session.recent, token)
if late then
  return {LATE}
elseif done then
  local v, first, last, changed = string.match(done, '^(%d+):(-?%d+):(-?%d+):(%d+)')
  redis.call('HSET', state, 'version', written(version)) -- WAIT waits for the writes of its own connection
  return {tonumber(v), tonumber(first), tonumber(last), tonumber(changed), owner, updated}
end
if expected ~= '' and tonumber(expected) ~= version then
  return {-1, version}
end
if how == 'id' and session.index_lost or task == 'compact' and session.index_lost then
  return {TORN, 'index'}
end

local function target()
  if how == 'id' then
    return find_id(session, what)
  end
  local position = tonumber(what)
  return position, index_of(list, position)
end

-- Returns the index's fields and values for the ids of the given messages.
local function names_at(first)
  local names = {}
  for i = HEAD + 1, #ARGV, 3 do
    if ARGV[i] ~= '' then
      add(names, 'm' .. ARGV[i], place(session, first + (i - HEAD - 1) / 3))
      if session.index == NO_INDEX then
        session.index = IDS
      end
    end
  end
  return names
end

-- A script that writes nothing first may not free memory on a full server. Once it has written, it may run any command.
local function free_memory()
  redis.call('HDEL', state, '')
end

-- Returns the id of a stored record as the index stores it, or nil if it cannot be told here.
local function id_in(record)
  local flags = string.byte(record, 2)
  if string.sub(record, 1, 1) ~= '\1' or #record < 15 or lists.has(flags, lists.COMPRESSED) or lists.has(flags, lists.SEALED) then
    return nil
  end
  local id = string.sub(record, 16, 15 + string.byte(record, 14) * 256 + string.byte(record, 15))
  if #id == 36 or string.sub(id, 1, 1) == '%' then -- the index may hold it in another form
    return nil
  end
  return id
end

-- Stores the next position beside the state too, so that a rebuilt state gives none twice: see heal.lua.
local function keep_next()
  redis.call('HSET', ids, 't', written(session.next or 0))
  if session.index == NO_INDEX then
    session.index = IDS
  end
end

local tasks = {}

function tasks.replace()
  local position, index = target()
  if not index then
    return {-4}
  end
  if ARGV[11] ~= '' and tonumber(ARGV[11]) ~= position then
    return {-7, position}
  end
  local gone = how == 'id' and what
  if how == 'at' then
    local element = redis.call('LINDEX', list, index)
    gone = ARGV[12] ~= '' and string.sub(ARGV[12], 2) or id_in(lists.record_in(element))
    if not gone and session.index ~= NO_INDEX then
      return {-8, version, element}
    end
  end
  local id = ARGV[HEAD + 1]
  if gone ~= id then -- of several messages with one id, the index names the first
    local other = id ~= '' and not session.index_lost and find_id(session, id)
    if other and other ~= position then
      return {-5, 0}
    end
    if gone and session.index ~= NO_INDEX and find_id(session, gone) == position then
      redis.call('HDEL', ids, 'm' .. gone)
    end
    in_slices('HSET', ids, names_at(position))
  end
  redis.call('LSET', list, index, written(position) .. ':' .. ARGV[HEAD + 3])
  return {version + 1, position, 1}
end

function tasks.delete()
  local position, index = target()
  if not index then
    return {version, -1, 0}
  end
  free_memory()
  if how == 'id' then
    redis.call('HDEL', ids, 'm' .. what)
  end
  local marker = 'removed:' .. token
  redis.call('LSET', list, index, marker)
  redis.call('LREM', list, index < length / 2 and 1 or -1, marker)
  if index == length - 1 then
    keep_next()
  end
  return {version + 1, position, 1}
end

function tasks.truncate()
  local position = target()
  if not position then
    return {-4}
  end
  local index = index_from(list, position + 1)
  if index == length then
    return {version, position, 0}
  end
  free_memory()
  if index == 0 then
    redis.call('UNLINK', list)
  else
    redis.call('LTRIM', list, 0, index - 1)
  end
  keep_next()
  return {version + 1, position, length - index}
end

function tasks.compact()
  local _, index = target()
  if not index then
    return {-4}
  end
  local cut = lists.whole(index + 1, 8 * lists.LARGEST_EXCHANGE)
  if cut == 0 then
    return {version, -1, 0}
  end
  local last, count = position_at(list, cut - 1), (#ARGV - HEAD) / 3
  if count > last + 1 then
    return {-6, last + 1}
  end
  local stays = {}
  for at = HEAD + 1, #ARGV, 3 do -- a message that stays keeps its id
    local position = ARGV[at] ~= '' and find_id(session, ARGV[at])
    if position and position > last or stays[ARGV[at]] then
      return {-5, (at - HEAD - 1) / 3}
    end
    stays[ARGV[at]] = ARGV[at] ~= ''
  end
  free_memory()
  redis.call('LTRIM', list, cut, -1)
  -- From position 0 on, so that the last message replaced is gone: a second compaction up to it is refused.
  session.pinned, session.generation = count, written(version + 1)
  in_slices('HSET', ids, names_at(0))
  local elements = {}
  for at = #ARGV, HEAD + 3, -3 do
    elements[#elements + 1] = written((at - HEAD) / 3 - 1) .. ':' .. ARGV[at]
  end
  in_slices('LPUSH', list, elements)
  return {version + 1, 0, cut}
end

function tasks.update()
  if ARGV[11] ~= '' and (redis.call('HGET', state, 'metadata') or '') ~= string.sub(ARGV[11], 2) then
    return {-1, version}
  end
  for field, value in pairs({title = how, metadata = what}) do
    if value ~= '' then
      redis.call('HSET', state, field, string.sub(value, 2))
    end
  end
  return {version, -1, 1}
end

function tasks.touch()
  if not session.exists then
    return {-4}
  end
  free_memory()
  return {version, -1, 0}
end

local result = tasks[task]()
if result[1] < 0 then
  return result
end
local reply = {result[1], result[2], result[2], result[3], owner, updated}
local changed = result[1] > version
if not session.exists and not changed and task ~= 'update' then
  return reply
end
session.owner = session.owner or user ~= '' and user or nil
local time = now ~= '' and now or microseconds_now()
local fields = {'version', written(result[1])}
if not session.created then
  add(fields, 'created', time)
end
if changed then
  add(fields, 'updated', time)
  add(fields, 'edited', written(result[1]))
end
if changed or task == 'update' then -- so that a late repeat does not undo what was set since
  add(fields, 'recent', remember(others, token, string.format('%.0f:%.0f:%.0f:%.0f', unpack(reply, 1, 4))))
end
if task == 'compact' and changed then
  add(fields, 'pinned', written(session.pinned) .. ':' .. (session.generation or '0'))
end
if changed then
  lists.sweep(session, token)
end
settle(session, fields, redis.call('LINDEX', list, -1), ttl, task == 'touch' and '1' or restart, token,
  changed and result[1] or nil)
return reply
