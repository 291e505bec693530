-- Appends messages to a session: once each, all of them or none, with the session's time to live.
-- KEYS: list, ids, state.
-- ARGV: 1 token of this call, which a resend repeats   2 now, in microseconds
--       3 time to live in milliseconds, empty for none  4 whether a write restarts it: 1 or 0
--       5 expected version, empty for any               6 idempotency key, empty for none
--       then for each message: its id (empty for none), its digest (of chunks only), its record
-- Returns {version, first position, last position, duplicates}, positions -1 where there were no messages;
--         {-1, version} where the session is not at the expected version;
--         {-2, index} where a chunk's id is known with another content.
local list, ids, state = KEYS[1], KEYS[2], KEYS[3]
local token, now, ttl, restart, expected, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local HEAD, SLICE, REMEMBERED = 6, 1000, 1024

-- All reads come first: where a key has a wrong type they raise before anything is written.
local kept = redis.call('HMGET', state, 'version', 'next', 'recent', 'created')
local length = redis.call('LLEN', list)
local any_ids = redis.call('HLEN', ids) > 0
local version, recent = tonumber(kept[1] or 0), kept[3] or ''

-- WAIT waits for what its own connection wrote, so a repeated append has to write too.
local function write_something()
  if kept[1] then
    redis.call('HSET', state, 'version', version)
  end
end

local function told(text, duplicates)
  write_something()
  local v, first, last, own = string.match(text, '^(%d+):(-?%d+):(-?%d+):(%d+)')
  return {tonumber(v), tonumber(first), tonumber(last), duplicates or tonumber(own)}
end

-- A client or a proxy that got no reply sends the same call again.
local _, token_end = string.find(recent, ';' .. token .. ':', 1, true)
if token_end then
  return told(string.sub(recent, token_end + 1))
end
if key ~= '' then
  local done = redis.call('HGET', ids, 'k' .. key)
  if done then
    return told(done, (#ARGV - HEAD) / 3)
  end
end
if expected ~= '' and tonumber(expected) ~= version then
  return {-1, version}
end

local position = tonumber(kept[2])
if not position then
  -- A server that evicts keys may have dropped the state alone.
  local tail = length > 0 and string.match(redis.call('LINDEX', list, -1), '^(%d+):')
  position = tail and tonumber(tail) + 1 or length
end

local records, names, given = {}, {}, {}
local first, last, duplicates = -1, -1, 0
for i = HEAD + 1, #ARGV, 3 do
  local id, digest = ARGV[i], ARGV[i + 1]
  local seen = id ~= '' and (given[id] or any_ids and redis.call('HGET', ids, 'm' .. id))
  local at = position
  if seen then
    local old
    at, old = string.match(seen, '^(%d+):?(.*)$')
    at = tonumber(at)
    if digest ~= '' and old ~= digest then
      return {-2, (i - HEAD - 1) / 3}
    end
    duplicates = duplicates + 1
  else
    records[#records + 1] = string.format('%.0f', position) .. ':' .. ARGV[i + 2]
    if id ~= '' then
      given[id] = string.format('%.0f', position) .. (digest ~= '' and ':' .. digest or '')
      names[#names + 1] = 'm' .. id
      names[#names + 1] = given[id]
    end
    position = position + 1
  end
  if first < 0 or at < first then first = at end
  if at > last then last = at end
end

local result = {version, first, last, duplicates}
if #records > 0 then
  result[1] = version + 1
elseif duplicates > 0 then
  write_something()
end
local text = table.concat(result, ':')
if key ~= '' and #ARGV > HEAD then
  names[#names + 1] = 'k' .. key
  names[#names + 1] = text
end

-- unpack stops at about 8,000 values
local function in_slices(command, name, values)
  for from = 1, #values, SLICE do
    redis.call(command, name, unpack(values, from, math.min(from + SLICE - 1, #values)))
  end
end
in_slices('RPUSH', list, records)
in_slices('HSET', ids, names)
if #records > 0 then
  if #recent > REMEMBERED then
    recent = string.match(string.sub(recent, 1, REMEMBERED), '^(.*);') -- the last one may be cut in two
  end
  recent = ';' .. token .. ':' .. text .. recent
  redis.call('HSET', state, 'version', result[1], 'next', string.format('%.0f', position), 'updated', now,
    'recent', recent, 'created', kept[4] or now)
end

local left = (ttl == '' or restart ~= '1') and redis.call('PTTL', state) or -1
if ttl ~= '' and left < 0 then
  set_deadline(tonumber(ttl), false)
elseif left > 0 then
  set_deadline(left, true)
end
return result
