-- Reads and writes an answer that runs, see answers.lua. It begins and ends in append.lua.
-- KEYS: list, ids, state, stream of chunks.
-- ARGV: 1 the user that the session must belong to, empty for any   2 "1" if it may belong to nobody
--       3 what to do   4 the answer's id
--       "write": 5 token, 6 lease in milliseconds, 7 the number of the batch, or that of the last one and no records to
--                renew the lease alone, then the records. A batch that was written before is not written again. Returns
--                {0, 1 if somebody has asked for a stop, else 0}, or {-4} if the answer does not run any more.
--       "stop": id empty for all answers. Returns {0, the ids of the answers that are to stop}.
--       "follow": 5 an entry of the stream to go on behind, empty for the beginning, 6 how many entries to look at,
--                 7 what the ids of its further messages begin with. Returns, while it runs, {0, 1, 1 if somebody has
--                 asked for a stop, else 0; 1 if there are more entries, else 0; the last entry that was looked at;
--                 entries, each {id, number, records}}. After its end it returns {0, 0, the elements of its messages},
--                 or {-4} if there are none.
--       "drain": 5 and 6 as for "follow", 7 the token. The same, or {-4} if this producer's answer does not run, and with
--                the number of its last batch in place of the stop. Nobody needs to have ended it.
-- An entry of the stream has the fields "a", the answer's id; then, where the answer begins, "t", the token; for a batch
-- "n", its number, and "r", a record, for each; where the answer ends and others run, "e", the token.
-- Each batch also goes to the channel of the stream's name: "before id number" and the records, each with its size.
-- Returns {-3} if the session is another user's, or nobody's; {-9, why} if it is torn, see session.lua;
--         {-15, id, token} if the answer's lease is over, and nobody has ended it.
local task, id = ARGV[3], ARGV[4]
local session, refused = look(ARGV[1], ARGV[2] == '1')
if refused then
  return refused
end
local tasks, running = {}, answering()

local function keep()
  redis.call('HSET', state, 'answers', running.answers_text(session))
end

function tasks.write()
  local one, lease, number = running.answer_of(session, id, ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  if not one then
    return {-4}
  end
  if number == one.number + 1 then
    local fields, parts = {'a', id, 'n', ARGV[7]}, {}
    for at = 8, #ARGV do
      add(fields, 'r', ARGV[at])
      parts[#parts + 1] = #ARGV[at] .. ':' .. ARGV[at]
    end
    local before = one.last
    one.last, one.number = redis.call('XADD', stream_key(), '*', unpack(fields)), number
    send(stream_key(), table.concat({before, one.last, #id .. ':' .. id, ARGV[7], table.concat(parts)}, ' '))
  end
  one.deadline = milliseconds_now() + lease
  keep()
  running.keep_alive(session, lease)
  return {0, tonumber(one.stop)}
end

function tasks.stop()
  local ids, over = {}, overdue(session, id ~= '' and id or nil)
  if over then
    return over
  end
  for _, one in ipairs(running.answers_of(session)) do
    if id == '' or one.id == id then
      one.stop, ids[#ids + 1] = '1', one.id
    end
  end
  if #ids > 0 then
    keep()
    send(running.stop_channel(), '')
  end
  return {0, ids}
end

-- Returns whether there are more entries, the last one that was looked at, and those of this answer.
local function entries_behind(after, count)
  local command, found, last = {'XRANGE', stream_key(), after ~= '' and after or '-', '+', 'COUNT', count + 1}, {}, after
  local some = redis.pcall(unpack(command))
  if some.err then -- what is no stream is somebody else's: it holds no chunks
    some = string.find(some.err, 'WRONGTYPE', 1, true) and {} or redis.call(unpack(command))
  end
  for _, entry in ipairs(some) do
    local fields, records = entry[2], {}
    if entry[1] ~= after and fields[2] == id and fields[3] == 'n' then
      for at = 6, #fields, 2 do
        records[#records + 1] = fields[at]
      end
      found[#found + 1] = {entry[1], fields[4], records}
    end
    last = entry[1]
  end
  return #some > count and 1 or 0, last, found
end

function tasks.drain()
  local one = running.answer_of(session, id, ARGV[7])
  if not one then
    return {-4}
  end
  return {0, 1, one.number, entries_behind(ARGV[5], tonumber(ARGV[6]))}
end

function tasks.follow()
  local one = running.answer_of(session, id)
  if one then
    return overdue(session, id) or {0, 1, tonumber(one.stop), entries_behind(ARGV[5], tonumber(ARGV[6]))}
  elseif session.index_lost then
    return {TORN, 'index'}
  end
  local elements = {}
  local first, index = find_id(session, id)
  local at = first
  while index and at == first + #elements do -- the messages of an answer stand in a row
    elements[#elements + 1] = redis.call('LINDEX', list, index)
    at, index = find_id(session, ARGV[7] .. #elements)
  end
  return #elements > 0 and {0, 0, elements} or {-4}
end

return tasks[task]()
