-- Changes the messages of a session, or the session itself.
-- KEYS: list, ids, state.
-- ARGV: 1 to 6 as append.lua has them, then 7 what to do, and for
--       "replace", "delete", "truncate", "compact": 8 "id" or "at", 9 a message's id or position;
--       "replace": 10 the position that the record is sealed for, empty for any, then an id, a digest, the record
--       "compact": 10 the positions that its records are sealed for, which are from 0 on, then these three of each message
--       "update": 8 the title, 9 the metadata, each behind a "=", empty for as it is
--       "touch": nothing   "clear": 8 the user who must have the session, empty for anyone
-- Returns {version, position, again, messages changed or removed, user, time of the last write};
--         {-1, version} where the session is not at the expected version;
--         {-3} where the session is another user's;
--         {-4} where there is no such message or session;
--         {-5, index} where another message has that id already;
--         {-7, position} where the record is sealed for another;
--         {-6, most} where more messages are to stand in place of others than can.
local list, ids, state = KEYS[1], KEYS[2], KEYS[3]
local token, now, ttl, restart, expected, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local task, how, what, HEAD = ARGV[7], ARGV[8], ARGV[9], 10

local length = redis.call('LLEN', list) -- a key of a wrong type raises here, before anything is written
redis.call('HLEN', ids)
local kept = redis.call('HMGET', state, 'version', 'recent', 'user', 'updated')
local version, recent, owner = number_in(kept[1]) or 0, kept[2] or '', kept[3] or user
local updated = string.match(kept[4] or '', '^%d+$') or '0'
if user ~= '' and owner ~= user then
  return {-3}
end
local done = recall(recent, token)
if done then
  local v, first, last, changed = string.match(done, '^(%d+):(-?%d+):(-?%d+):(%d+)')
  redis.call('HSET', state, 'version', version) -- WAIT waits for what its own connection wrote
  return {tonumber(v), tonumber(first), tonumber(last), tonumber(changed), owner, updated}
end
if expected ~= '' and tonumber(expected) ~= version then
  return {-1, version}
end

local function target()
  if how == 'id' then
    return find_id(list, ids, what)
  end
  local position = tonumber(what)
  return position, index_of(list, position)
end

-- Returns fields and values that say which positions the ids of the given messages have.
local function names_at(place)
  local names = {}
  for i = HEAD + 1, #ARGV, 3 do
    local id, digest = ARGV[i], ARGV[i + 1]
    if id ~= '' then
      names[#names + 1] = 'm' .. id
      names[#names + 1] = written(place + (i - HEAD - 1) / 3) .. (digest ~= '' and ':' .. digest or '')
    end
  end
  return names
end

local tasks = {}

function tasks.replace()
  local position, index = target()
  if not index then
    return {-4}
  end
  if ARGV[10] ~= '' and tonumber(ARGV[10]) ~= position then
    return {-7, position}
  end
  local id = ARGV[HEAD + 1]
  local other = id ~= '' and find_id(list, ids, id)
  if other and other ~= position then
    return {-5, 0}
  end
  if how == 'id' then
    redis.call('HDEL', ids, 'm' .. what)
  else
    sweep(list, ids, function(at) return at == position end)
  end
  in_slices('HSET', ids, names_at(position))
  redis.call('LSET', list, index, written(position) .. ':' .. ARGV[HEAD + 3])
  return {version + 1, position, 1}
end

function tasks.delete()
  local position, index, seen = target()
  if not index then
    return {version, -1, 0}
  end
  if seen then
    redis.call('HDEL', ids, 'm' .. what)
  end
  local marker = 'removed:' .. token
  redis.call('LSET', list, index, marker)
  redis.call('LREM', list, index < length / 2 and 1 or -1, marker)
  sweep(list, ids)
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
  elseif index == 0 then
    redis.call('UNLINK', list)
  else
    redis.call('LTRIM', list, 0, index - 1)
  end
  sweep(list, ids)
  return {version + 1, position, length - index}
end

function tasks.compact()
  local _, index = target()
  if not index then
    return {-4}
  end
  local cut = whole(list, index + 1)
  if cut == 0 then
    return {version, -1, 0}
  end
  local last = position_at(list, cut - 1)
  if (#ARGV - HEAD) / 3 > last + 1 then
    return {-6, last + 1}
  end
  local stays = {}
  for at = HEAD + 1, #ARGV, 3 do -- ids of what stays are not free
    local position = ARGV[at] ~= '' and find_id(list, ids, ARGV[at])
    if position and position > last or stays[ARGV[at]] then
      return {-5, (at - HEAD - 1) / 3}
    end
    stays[ARGV[at]] = ARGV[at] ~= ''
  end
  redis.call('LTRIM', list, cut, -1)
  sweep(list, ids, function(position) return position <= last end)
  -- From 0 on, so that the message up to which it was is gone: who compacts the same once more finds that out.
  in_slices('HSET', ids, names_at(0))
  local elements = {}
  for at = #ARGV, HEAD + 3, -3 do
    elements[#elements + 1] = written((at - HEAD) / 3 - 1) .. ':' .. ARGV[at]
  end
  in_slices('LPUSH', list, elements)
  return {version + 1, 0, cut}
end

function tasks.update()
  for field, value in pairs({title = how, metadata = what}) do
    if value ~= '' then
      redis.call('HSET', state, field, string.sub(value, 2))
    end
  end
  redis.call('HSETNX', state, 'created', now)
  return {version, -1, 1}
end

function tasks.touch()
  if redis.call('EXISTS', list, state) == 0 then
    return {-4}
  end
  return {version, -1, 0}
end

function tasks.clear()
  if how ~= '' and how ~= kept[3] then
    return {-3}
  end
  redis.call('UNLINK', list, ids, state)
  return {version, -1, length}
end

local result = tasks[task]()
if result[1] < 0 then
  return result
end
local reply = {result[1], result[2], result[2], result[3], owner, updated}
if task == 'touch' and ttl ~= '' then
  set_deadline(tonumber(ttl), false)
end
if task == 'touch' or task == 'clear' then
  return reply
end
if result[1] > version then
  redis.call('HSET', state, 'version', result[1], 'updated', now,
    'recent', remember(recent, token, table.concat(reply, ':', 1, 4)))
elseif kept[1] then
  redis.call('HSET', state, 'version', version) -- WAIT waits for what its own connection wrote
end
if task == 'update' then -- a resend that comes late must not undo what was set after it
  redis.call('HSET', state, 'recent', remember(recent, token, table.concat(reply, ':', 1, 4)))
end
if user ~= '' and not kept[3] and redis.call('EXISTS', state) == 1 then
  redis.call('HSET', state, 'user', user)
end
settle(state, ttl, restart)
return reply
