-- Changes the messages of a session, or the session itself.
-- KEYS: list, ids, state.
-- ARGV: 1 to 7 as for append.lua, 8 the task, and for
--       "replace", "delete", "truncate", "compact": 9 "id" or "at", 10 a message's id or position;
--       "replace": 11 the position that the record is encrypted for, empty for any, 12 "=" and the id of the message
--                  at that position, empty if unknown, then an id, a digest, the record;
--       "compact": 11 the positions that the records are encrypted for, from 0 on, 12 empty, then for each message an
--                  id, a digest, the record;
--       "keep": 9 and 10 the positions of the first and the last message to keep, 11 the positions that the records are
--               encrypted for, 12 empty, then for each message that comes behind them an id, a digest, the record;
--       "summarize": 9 and 10 as above: the last message that the summary speaks of, 11 and 12 empty, then for each of its
--                  messages "", "", the record;
--       "annotate": 9 and 10 as above, 11 the position that the values are encrypted for, empty for any, 12 empty, then
--                  for each pair its key, the value that must be stored, empty for any, its value, empty to remove it;
--       "update": 9 "=" and the title, 10 "=" and the metadata, each empty to keep it, 11 "=" and the metadata that the
--                 state must hold until then, empty for any; if marks change or a revision is expected, 12 the revision
--                 that the session must have, empty for any, 13 what changes: "1" or "0" for archived, "." to keep that,
--                 the same for pinned, then "=" and the tags, absent to keep them;
--       "commit": 9 "id:" and the id of the message to go on behind, or "at:-1" to begin anew, 10 the number of bytes of
--                 the metadata that the state must hold, ":", that metadata, and the new one, 11 the positions that the
--                 records are encrypted for, 12 empty, then for each message that comes an id, a digest, the record;
--       "clear": 9 the user who must own the session, empty for anyone, 10 absent, or "=" and the metadata that the state
--                must hold if there is a session;
--       "touch": nothing;
--       "branch": 9 "id" or "at", 10 the id or position of the last message that the new branch shows, -1 for none;
--       "switch", "drop": 9 a branch's number.
-- Returns {version, position, the same position, messages changed or removed, user, time of the write before}, the
--         position -1 if there is none, and the session's marks if it has some; of "update", the revision in place of
--         messages, 0 if the call was done before and others have written since;
--           of "branch" and "switch", the number of the branch in place of the position;
--         {-1, version} if the session is not at the expected version, {-1, revision, "revision"} if not at that revision,
--         {-1, version, "metadata"} if it does not hold the expected metadata;
--         {-3} if the session is another user's, or nobody's;
--         {-4} if there is no such message, session or branch;
--         {-5, index} if another message has the id of a given one;
--         {-6, most} if the replacement has more messages than there are positions for;
--         {-7, position} if the records are encrypted for other positions than this one and those behind it;
--         {-8, version, element} if the id of the message at a position cannot be told here;
--         {-9, why} if the session is torn, see session.lua; {-10} if the call comes late, see recent.lua;
--         {-11} if the branch to remove is active; {-12} if there are too many branches;
--         {-13, position} if there is a summary that speaks of later messages, up to that position;
--         {-14, id} if an answer runs, and the change would take away what it answers;
--         {-15, id, token} if an answer's lease is over, and nobody has ended it; see answers.lua.
local token, now, ttl, restart, expected, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local task, how, what, HEAD = ARGV[8], ARGV[9], ARGV[10], 12
local NOT_BESIDE = {branch = true, switch = true, drop = true, keep = true, commit = true} -- an answer that runs
local NEEDS_INDEX = {compact = true, commit = true, keep = true, annotate = true}
local MOST_BRANCHES = 65536 -- bytes of the field that every script reads

-- Erases whatever the session's keys hold, of any type and any life.
if task == 'clear' then
  local known = redis.pcall('HMGET', state, 'user', 'version', 'updated', 'recent', 'log', 'marks', 'answers')
  local sign = redis.pcall('HGET', ids, 'e')
  local owner = not known.err and known[1] or type(sign) == 'string' and owner_in(sign) or nil
  local wanted = how ~= '' and how or user
  local unowned = not owner and not known.err and known[2] and ARGV[7] ~= '1'
  local absent = how ~= '' and redis.call('EXISTS', list, ids, state) == 0
  if wanted ~= '' and (owner and owner ~= wanted or unowned) or absent then
    return {OTHER_USER}
  end
  if what and redis.call('EXISTS', list, ids, state) > 0 and redis.pcall('HGET', state, 'metadata') ~= string.sub(what, 2) then
    return {-1, not known.err and number_in(known[2]) or 0}
  end
  local length = redis.pcall('LLEN', list)
  redis.call('UNLINK', list, ids, state, stream_key())
  if log or known[5] then
    redis.call('UNLINK', log_key())
  end
  if log then
    send(log, '')
  end
  if not known.err and known[7] then -- producers and readers of answers learn of it
    send(stream_key(), '')
    send(answering().stop_channel(), '')
  end
  return with_marks({marks = not known.err and known[6]}, {not known.err and number_in(known[2]) or 0, -1, -1,
    type(length) == 'number' and length or 0, owner or '',
    not known.err and string.match(known[3] or '', '^%d+$') or '0'})
end

-- Returns the revision of what the state holds: a number that changes with it, 0 for nothing.
local function revision_now()
  local told, set = '', false
  for _, value in ipairs(redis.call('HMGET', state, 'title', 'metadata', 'marks')) do
    told, set = told .. #(value or '') .. ':' .. (value or ''), set or value
  end
  return set and tonumber(string.sub(redis.sha1hex(told), 1, 12), 16) or 0
end

local lists = trimming()
local session, refused = look(user, ARGV[7] == '1', 'summary')
if refused then
  return refused
end
local NEEDED = {replace = ' LSET', delete = ' LSET LREM', branch = ' LSET', compact = ' LTRIM LPUSH', keep = ' LTRIM RPUSH',
  commit = ' RPUSH LSET'}
local no_right = denied('HSET' .. ((ttl ~= '' or session.ends) and ' PEXPIREAT' or '') .. (NEEDED[task] or '') ..
  (session.branches and ' LREM LSET' or ''))
if no_right then
  return no_right
end
local version, owner = session.version, session.owner or user
local updated = string.match(session.updated or '', '^%d+$') or '0'
local length = session.length
local done, late, others = recall(session.recent, token)
if late then
  return {LATE}
elseif done then
  local v, first, last, changed = string.match(done, '^(%d+):(-?%d+):(-?%d+):(%d+)')
  if task == 'update' and string.find(session.recent, ';' .. string.match(token, '^[^:]+:%x+:'), 1, true) == 1 then
    changed = revision_now() -- nobody has written since
  end
  redis.call('HSET', state, 'version', written(version)) -- WAIT waits for the writes of its own connection
  return with_marks(session, {tonumber(v), tonumber(first), tonumber(last), tonumber(changed), owner, updated})
end
local over = overdue(session) or NOT_BESIDE[task] and answered(session)
if over then
  return over
elseif expected ~= '' and tonumber(expected) ~= version then
  return {-1, version}
end
if session.index_lost and (how == 'id' or NEEDS_INDEX[task]) then
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

-- Returns the position and the index of the target if the active branch shows it.
local function shown_target()
  local position, index = target()
  if index and within(ranges_of(session), position) then
    return position, index
  end
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

local tasks, told = {}, {} -- `told`: what changed, as arguments of `publish` without the version

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
    if other and other ~= position or is_promised(session, id) then
      return {-5, 0}
    end
    if gone and session.index ~= NO_INDEX and find_id(session, gone) == position then
      redis.call('HDEL', ids, 'm' .. gone)
    end
    in_slices('HSET', ids, names_at(position))
  end
  redis.call('LSET', list, index, label(session, position) .. ARGV[HEAD + 3])
  told = {{'replaced', position, position}}
  return {version + 1, position, 1}
end

function tasks.delete()
  local position, index = target()
  if not index then
    return {version, -1, 0}
  end
  local busy = answered(session, function(after) return after == position end)
  if busy then
    return busy
  end
  free_memory()
  if how == 'id' then
    redis.call('HDEL', ids, 'm' .. what)
  end
  local marker = 'removed:' .. token
  redis.call('LSET', list, index, marker)
  redis.call('LREM', list, index < length / 2 and 1 or -1, marker)
  local ranges = ranges_of(session)
  if summary_in(session.summary, ranges) == position then
    local before = spans(ranges, -1, position, 1, true)[1]
    move_summary(session.summary, before and position_at(list, before[1]) or -1)
  elseif end_of(session.summary) == position then -- of another branch
    redis.call('HDEL', state, 'summary')
  end
  if session.branches then
    local tree = branching().tree_of(session)
    branching().forget(tree, position, index)
    branching().keep(session, tree)
  end
  if session.noted then
    redis.call('HDEL', ids, 'a' .. written(position))
  end
  if index == length - 1 then
    keep_next()
  end
  told = {{'removed', position, position}}
  return {version + 1, position, 1}
end

function tasks.truncate()
  local position = target()
  local ranges = ranges_of(session)
  if not position or how == 'id' and not within(ranges, position) then
    return {-4}
  end
  local gone = spans(ranges, position, math.huge, math.huge)
  local count = gone.length
  local busy = answered(session, function(after) return after > position end)
  if count == 0 or busy then
    return busy or {version, position, 0}
  end
  free_memory()
  told = {{'removed', position_at(list, gone[1][1]), position_at(list, gone[#gone][2] - 1)}}
  local tree, active
  if session.branches then
    tree, active = branching().tree_of(session)
    local last = spans(ranges, -1, position + 1, 1, true)[1]
    active.ranges = branching().between(ranges, 0, last and position_at(list, last[1]) or -1)
    gone = spans(branching().own(tree, active, ranges), position, math.huge, math.huge)
  end
  local summarized = summary_in(session.summary, ranges)
  if summarized and (summarized > position or position == -1) then
    redis.call('HDEL', state, 'summary')
  end
  branching().erase(session, gone, token)
  if tree then
    branching().open(session, tree, active)
    branching().keep(session, tree)
  end
  keep_next()
  return {version + 1, position, count}
end

-- Returns a refusal if two given messages have one id, or if a message that stays has it; `stays` tells by index.
local function taken(stays)
  local given = {}
  for at = HEAD + 1, #ARGV, 3 do
    local id = ARGV[at]
    local position, index
    if id ~= '' then
      position, index = find_id(session, id)
    end
    if position and stays(index) or given[id] or is_promised(session, id) then
      return {-5, (at - HEAD - 1) / 3}
    end
    given[id] = id ~= ''
  end
end

function tasks.keep()
  local ranges, count = ranges_of(session), (#ARGV - HEAD) / 3
  local left = spans(ranges, tonumber(how) - 1, tonumber(what) + 1, math.huge)
  local removed, places, position = view_of(session).length - left.length, {}, next_position(session)
  if removed == 0 and count == 0 then
    return {version, -1, 0}
  end
  local own, kept, tree, active = ranges, {}, nil, nil
  if left.length > 0 then
    kept = branching().between(ranges, position_at(list, left[1][1]), position_at(list, left[#left][2] - 1))
  end
  if session.branches then
    tree, active = branching().tree_of(session)
    own, active.ranges = branching().own(tree, active, ranges), kept
  end
  local gone = spans(branching().without(own, kept), -1, math.huge, math.huge)
  local clash = taken(function(index)
    for _, part in ipairs(gone) do
      if index >= part[1] and index < part[2] then
        return false
      end
    end
    return true
  end)
  if clash then
    return clash
  end
  for i = 1, count do
    places[i] = written(position + i - 1)
  end
  if count > 0 and ARGV[11] ~= '' and ARGV[11] ~= table.concat(places, ',') then
    return {-7, position}
  end
  free_memory()
  redis.call('HDEL', state, 'summary')
  if gone.length > 0 then
    told = {{'removed', position_at(list, gone[1][1]), position_at(list, gone[#gone][2] - 1)}}
  end
  if count > 0 then
    told[#told + 1] = {'appended', position, position + count - 1}
  end
  branching().erase(session, gone, token)
  local elements = {}
  for i = 1, count do
    elements[i] = label(session, position + i - 1) .. ARGV[HEAD + 3 * i]
  end
  if tree then
    session.next = position
    branching().open(session, tree, active)
    branching().keep(session, tree)
  end
  in_slices('RPUSH', list, elements)
  in_slices('HSET', ids, names_at(position))
  session.next = position + count
  keep_next()
  return {version + 1, count > 0 and position or -1, removed}
end

function tasks.compact()
  local position, index = shown_target()
  if not index then
    return {-4}
  end
  local view, ranges = view_of(session), ranges_of(session)
  local cut = lists.whole(view, spans(ranges, -1, position + 1, math.huge).length, 8 * lists.LARGEST_EXCHANGE)
  if cut == 0 then
    return {version, -1, 0}
  end
  local from, count = in_list(view, cut - 1) + 1, (#ARGV - HEAD) / 3
  local last = position_at(list, from - 1)
  local busy = answered(session, function(after) return after <= last end)
  if busy then
    return busy
  elseif count > last + 1 then
    return {-6, last + 1}
  end
  local clash = taken(function(index) return index >= from end)
  if clash then
    return clash
  end
  free_memory()
  local tree = session.branches and branching().tree_of(session)
  if tree then
    branching().cut(tree, -1, from < length and position_at(list, from) or last + 1)
    branching().begin(tree, count)
  end
  if (end_of(session.summary) or math.huge) <= last then
    redis.call('HDEL', state, 'summary')
  end
  forget_notes(session, 0, from)
  redis.call('LTRIM', list, from, -1)
  -- From position 0 on, so that the last message replaced is gone: a second compaction up to it is refused.
  session.pinned, session.generation = count, written(version + 1)
  in_slices('HSET', ids, names_at(0))
  local elements = {}
  for at = #ARGV, HEAD + 3, -3 do
    elements[#elements + 1] = label(session, (at - HEAD) / 3 - 1) .. ARGV[at]
  end
  in_slices('LPUSH', list, elements)
  if tree then
    branching().keep(session, tree)
  end
  if from == length then
    keep_next()
  end
  told = {{'replaced', 0, last}}
  return {version + 1, 0, cut}
end

-- Returns the marks with a change made to them.
local function changed_marks(marks, change)
  local archived, pinned, tags = string.match(marks, '^(a?)(p?)(.*)$')
  local archive, pin, tag = string.match(change, '^(.)(.)(.*)$')
  archived = archive == '.' and archived or archive == '1' and 'a' or ''
  pinned = pin == '.' and pinned or pin == '1' and 'p' or ''
  return archived .. pinned .. (tag == '' and tags or string.sub(tag, 2))
end

function tasks.update()
  local revision, marks = revision_now(), session.marks or ''
  if (ARGV[12] or '') ~= '' and tonumber(ARGV[12]) ~= revision then
    return {-1, revision, 'revision'}
  elseif ARGV[11] ~= '' and (redis.call('HGET', state, 'metadata') or '') ~= string.sub(ARGV[11], 2) then
    return {-1, version, 'metadata'}
  end
  local fields = {}
  for field, value in pairs({title = how, metadata = what}) do
    if value ~= '' then
      add(fields, field, string.sub(value, 2))
      told[#told + 1] = {field}
    end
  end
  if (ARGV[13] or '') ~= '' then
    marks = changed_marks(marks, ARGV[13])
    told[#told + 1] = {'marks'}
  elseif #fields == 0 then
    return {version, -1, revision}
  end
  session.marks = marks ~= '' and marks or nil
  if session.marks then
    add(fields, 'marks', marks)
  else
    redis.call('HDEL', state, 'marks')
  end
  if #fields > 0 then
    redis.call('HSET', state, unpack(fields))
  end
  return {version, -1, revision_now()}
end

function tasks.touch()
  if not session.exists then
    return {-4}
  end
  free_memory()
  return {version, -1, 0}
end
