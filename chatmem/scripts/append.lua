-- Appends messages to a session: all or none, each once, and sets the session's TTL. This file has the arguments, and the
-- append that most are; append_rest.lua has the others.
-- KEYS: list, ids, state.
-- ARGV: 1 the call's token, see recent.lua   2 the time of the write in microseconds since 1970, empty for the server's
--       3 TTL in milliseconds, empty for none   4 "1" if a write restarts the TTL, else "0"
--       5 the version that the session must have, empty for any   6 the user that it must belong to, empty for any
--       7 "1" if a session without a user becomes this user's
--       8 idempotency key, empty for none   9 how many messages to keep, empty for all
--       10 what to do with a message whose id is known with other content: "error"; "add" one more message; "replace"
--          the stored one; "put" replaces it even if the content is the same
--       11 the positions that the records are encrypted for, separated by commas, empty for any
--       12 empty, or a version, ":", and for each message how it compares with the stored one of its id then:
--          "=" it is the same, "!" it is another, "?" the stored one has another id, "." not compared
--       13 how many messages to remove first, and behind that what becomes of an answer, see answers.lua:
--          "+token lease alone id" begins one, with a lease in milliseconds; alone is "1" if no other may run;
--          "-token number id" ends one with these messages; the number of its last batch is empty for any
--       then the ids of the messages to remove
--       then for each message: its id, empty for none; a digest of id and content, for "add" and encrypted records; its
--       record
-- Returns {version, first position, last position, duplicates, user}, positions -1 if there are no messages, and "0" and
--           the session's marks behind them if it has some;
--         {-1, version} if the session is not at the expected version;
--         {-2, index} if a message's id is known with other content, or on another branch; -1 for the id of an answer;
--         {-2, index, 1} if an answer that runs is going to have that id;
--         {-3} if the session is another user's, or nobody's; {-4} if the answer to end does not run any more;
--         {-7, next position, for each message its position if its id is known, else -1} if a record is encrypted for
--         another position;
--         {-8, version, then in turn index and element} for known ids whose content cannot be compared here;
--         {-9, why} if the session is torn, see session.lua; {-10} if the call comes late, see recent.lua;
--         {-14, id} if an answer runs, so that no other may begin, or what it answers may not go;
--         {-15, id, token} if an answer's lease is over, and nobody has ended it.
local token, now, ttl, restart, expected, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key, most, mode = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local MANY = 1000 -- messages; unpack stops at about 8,000 values

-- Returns the elements of the messages, what the index is to hold of them, what it must not hold, and their positions;
-- nil if an id comes twice.
local function elements_from(position)
  local elements, names, unknown, places, given = {}, {}, {}, {}, {}
  for at = 14, #ARGV, 3 do
    local id, place = ARGV[at], written(position + #places)
    places[#places + 1] = place
    elements[#elements + 1] = place .. ':' .. ARGV[at + 2]
    if id ~= '' then
      if given[id] then
        return
      end
      given[id] = true
      add(names, 'm' .. id, place)
      unknown[#unknown + 1] = 'm' .. id
      unknown[#unknown + 1] = mode == 'add' and 'd' .. ARGV[at + 1] or nil
    end
  end
  return elements, names, unknown, places
end

-- Appends new messages to a plain session. Returns nil where anything else is asked for or found, and then nothing is
-- written.
local function append_plain()
  local count = (#ARGV - 13) / 3
  if #KEYS > 3 or ARGV[13] ~= '0' or count < 1 or count > MANY or ttl ~= '' and restart == '0' then
    return
  end
  local kept, epoch, index, indexed = plain_session(user)
  local version, following, recent, ends, owner = unpack(kept or {})
  if not kept or key ~= '' and index == KEYS_LOST or expected ~= '' and expected ~= version or
    ttl == '' and (ends or redis.call('PTTL', state) > 0) or most and redis.call('LLEN', list) + count > most then
    return
  end
  local position = tonumber(following)
  local elements, names, unknown, places = elements_from(position)
  if not elements or ARGV[11] ~= '' and ARGV[11] ~= table.concat(places, ',') then
    return
  end
  unknown[#unknown + 1] = key ~= '' and 'k' .. key or nil
  local known = redis.pcall('HMGET', ids, 'e', unpack(unknown))
  if known[1] ~= (index ~= NO_INDEX and epoch .. ':' .. indexed .. ':' .. (owner or '')) then
    return
  end
  for at = 1, #unknown do
    if known[at + 1] then
      return
    end
  end
  local done, late, others = recall(recent, token)
  if done or late or denied(ttl == '' and 'HSET' or 'HSET PEXPIREAT') then
    return
  end

  local text, time = written(tonumber(version) + 1), now ~= '' and now or microseconds_now()
  local result = text .. ':' .. places[1] .. ':' .. places[count] .. ':0'
  redis.call('RPUSH', list, unpack(elements))
  if key ~= '' then
    add(names, 'k' .. key, result)
    if index ~= KEYS_TOO then
      add(names, 'x', '1')
    end
    index = KEYS_TOO
  end
  if #names > 0 then
    index, indexed = index == NO_INDEX and IDS or index, text
    add(names, 'e', epoch .. ':' .. text .. ':' .. (owner or ''))
    redis.call('HSET', ids, unpack(names))
  end
  local fresh = {'version', text, 'next', written(position + count), 'updated', time,
    'recent', remember(others, token, result),
    'life', epoch .. index .. mark_of(elements[count]) .. ':' .. indexed}
  if ttl ~= '' then
    local deadline = written(milliseconds_now() + tonumber(ttl))
    add(fresh, 'until', deadline)
    for at = 1, 3 do
      redis.call('PEXPIREAT', KEYS[at], deadline)
    end
  end
  redis.call('HSET', state, unpack(fresh))
  return {tonumber(text), position, position + count - 1, 0, owner or ''}
end

local appended = append_plain()
if appended then
  return appended
end
