-- Appends messages to a session: once each, all of them or none, with the session's time to live.
-- KEYS: list, ids, state.
-- ARGV: 1 token of this call, which a resend repeats   2 now, in microseconds
--       3 time to live in milliseconds, empty for none  4 whether a write restarts it: 1 or 0
--       5 expected version, empty for any               6 the session's user, empty for none or unknown
--       7 idempotency key, empty for none               8 how many messages to keep, empty for all
--       9 "put" where a message whose id is known takes the place of the other, else empty
--       10 the positions that the records are sealed for, with commas between, empty for any
--       then for each message: its id (empty for none), its digest (of chunks only), its record
-- Returns {version, first position, last position, duplicates, user}, positions -1 where there were no messages;
--         {-1, version} where the session is not at the expected version;
--         {-2, index} where a chunk's id is known with another content;
--         {-3} where the session is another user's;
--         {-7, next position, position of each message whose id is known or -1} where a record is sealed for another.
local list, ids, state = KEYS[1], KEYS[2], KEYS[3]
local token, now, ttl, restart, expected, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key, most, put = ARGV[7], tonumber(ARGV[8]), ARGV[9] == 'put'
local HEAD = 10

-- All reads come first: where a key has a wrong type they raise before anything is written.
local kept = redis.call('HMGET', state, 'version', 'next', 'recent', 'created', 'user')
local length = redis.call('LLEN', list)
local any_ids = redis.call('HLEN', ids) > 0
local version, recent = number_in(kept[1]) or 0, kept[3] or ''

local owner = kept[5] or user
if user ~= '' and owner ~= user then
  return {-3}
end

-- WAIT waits for what its own connection wrote, so a repeated append has to write too.
local function write_something()
  if kept[1] then
    redis.call('HSET', state, 'version', version)
  end
end

local function told(text, duplicates)
  write_something()
  local v, first, last, own = string.match(text, '^(%d+):(-?%d+):(-?%d+):(%d+)')
  return {tonumber(v), tonumber(first), tonumber(last), duplicates or tonumber(own), owner}
end

local done = recall(recent, token)
if done then
  return told(done)
end
if key ~= '' then
  done = redis.call('HGET', ids, 'k' .. key)
  if done and string.match(done, '^%d+:%-?%d+:%-?%d+:%d+') then
    return told(done, (#ARGV - HEAD) / 3)
  end
end
if expected ~= '' and tonumber(expected) ~= version then
  return {-1, version}
end

local position = number_in(kept[2])
if not position then
  -- A server that evicts keys may have dropped the state alone.
  position = length > 0 and position_at(list, length - 1) + 1 or 0
end

local records, names, given, changed = {}, {}, {}, {}
local first, last, duplicates = -1, -1, 0
local sealed, known, misplaced = nil, {-7, position}, false
if ARGV[10] ~= '' then
  sealed = {}
  for place in string.gmatch(ARGV[10], '%d+') do
    sealed[#sealed + 1] = tonumber(place)
  end
end
for i = HEAD + 1, #ARGV, 3 do
  local id, digest = ARGV[i], ARGV[i + 1]
  local suffix = digest ~= '' and ':' .. digest or ''
  local at, seen, index = position, given[id], nil
  if seen then
    at = tonumber(string.match(seen, '^%d+'))
  elseif id ~= '' and any_ids then
    local found
    found, index, seen = find_id(list, ids, id)
    at = found or position
  end
  if not seen then
    records[#records + 1] = written(position) .. ':' .. ARGV[i + 2]
    position = position + 1
  elseif put then
    changed[#changed + 1] = {index, written(at) .. ':' .. ARGV[i + 2]}
    duplicates = duplicates + 1
  elseif digest ~= '' and string.match(seen, ':(.*)$') ~= digest then
    return {-2, (i - HEAD - 1) / 3}
  else
    duplicates = duplicates + 1
  end
  if sealed then
    known[#known + 1] = seen and at or -1
    misplaced = misplaced or (put or not seen) and sealed[#known - 2] ~= at
  end
  if id ~= '' and (put or not seen) then
    given[id] = written(at) .. suffix
    names[#names + 1] = 'm' .. id
    names[#names + 1] = given[id]
  end
  if first < 0 or at < first then first = at end
  if at > last then last = at end
end

if misplaced then
  return known
end

local result = {version, first, last, duplicates}
local writes = #records + #changed > 0
if writes then
  result[1] = version + 1
elseif duplicates > 0 then
  write_something()
end
local text = table.concat(result, ':')
if key ~= '' and #ARGV > HEAD then
  names[#names + 1] = 'k' .. key
  names[#names + 1] = text
end

in_slices('RPUSH', list, records)
in_slices('HSET', ids, names)
for _, change in ipairs(changed) do
  redis.call('LSET', list, change[1], change[2])
end
if writes then
  redis.call('HSET', state, 'version', result[1], 'next', written(position), 'updated', now,
    'recent', remember(recent, token, text), 'created', kept[4] or now)
end
if user ~= '' and not kept[5] and (kept[1] or writes) then
  redis.call('HSET', state, 'user', user)
end
if most and #records > 0 then
  trim(list, ids, most)
end

settle(state, ttl, restart)
result[5] = owner
return result
