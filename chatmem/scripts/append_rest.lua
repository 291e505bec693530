-- Appends messages where append.lua finds that there is more to do: ids that are known, retention, branches, answers,
-- messages to remove, idempotency keys, listeners, a torn session.
local session, refused = look(user, ARGV[7] == '1')
if refused and refused[2] ~= 'orphan' then
  return refused
end
local version = session.version
local done, late, others = recall(session.recent, token)

local GONE, ACT, TOLD = string.match(ARGV[13], '^(%d+)([+-]?)(.*)$')
local HEAD = 13 + tonumber(GONE)
local COUNT = (#ARGV - HEAD) / 3
local no_right = denied('HSET' .. ((ttl ~= '' or session.ends) and ' PEXPIREAT' or '') ..
  (HEAD > 13 and ' LREM HDEL' or '') .. (most and ' LTRIM LPUSH HDEL' or ''))
if no_right then
  return no_right
end

if refused or not session.exists or session.epoch and session.index == NO_INDEX then
  if refused or session.sign then
    redis.call('UNLINK', ids) -- of another life
  end
  if session.damaged then
    redis.call('UNLINK', state)
    session.exists, session.epoch, session.created, session.stored_owner, session.ends = false, nil, nil, nil, nil
    session.version, session.next, done, late, others = 0, nil, nil, false, ''
  end
  session.index, session.mark, session.sign = NO_INDEX, session.mark or EMPTY, nil
  session.branches = not refused and session.branches or nil
end
session.owner = session.owner or user ~= '' and user or nil
version = session.version
local owner = session.owner or ''

-- Answers a repeated call. WAIT waits for the writes of its own connection, so a repeated append has to write too.
local function told(text, duplicates)
  if session.exists then
    redis.call('HSET', state, 'version', written(version))
  end
  local v, first, last, own = string.match(text, '^(%d+):(-?%d+):(-?%d+):(%d+)')
  return with_marks(session, {tonumber(v), tonumber(first), tonumber(last), duplicates or tonumber(own), owner})
end

if done then
  return told(done)
elseif late then
  return {LATE}
end
if session.index_lost then
  local needed = key ~= '' or HEAD > 13 or ACT ~= ''
  for at = HEAD + 1, #ARGV, 3 do
    needed = needed or ARGV[at] ~= ''
  end
  if needed then
    return {TORN, 'index'}
  end
end
if key ~= '' then
  if session.index == KEYS_LOST then
    return {TORN, 'keys'}
  end
  done = session.index == KEYS_TOO and redis.call('HGET', ids, 'k' .. key)
  if done and string.match(done, '^%d+:%-?%d+:%-?%d+:%d+') then
    return told(done, COUNT)
  end
end

local removed, taken = {}, {}
for at = 14, HEAD do
  removed[ARGV[at]] = true
  taken[find_id(session, ARGV[at]) or ''] = true
end
local over = ACT ~= '-' and overdue(session) or
  HEAD > 13 and answered(session, function(position) return taken[position] end)
if over then
  return over
end
-- An answer that begins or ends here. From here on the session has the answers that it is going to have.
local begun, ended
local running = ACT ~= '' and answering()
if ACT == '+' then
  local producer, lease, alone, id = string.match(TOLD, '^(%x+) (%d+) ([01]) (.*)$')
  local other = alone == '1' and running.answers_of(session)[1] or running.answer_of(session, id)
  if other then
    return {ANSWERING, other.id}
  elseif find_id(session, id) then
    return {-2, -1}
  end
  begun = {token = producer, number = 0, deadline = milliseconds_now() + tonumber(lease), started = microseconds_now(),
    stop = '0', id = id, lease = tonumber(lease)}
  table.insert(running.answers_of(session), begun)
elseif ACT == '-' then
  local producer, number, id = string.match(TOLD, '^(%x+) (%d*) (.*)$')
  local one, at = running.answer_of(session, id, producer)
  if not one or number ~= '' and one.number ~= tonumber(number) then
    return {-4}
  end
  ended = table.remove(running.answers_of(session), at)
end
if ACT ~= '' then
  session.answers = #session.running > 0 and '' or nil
end
local FOUND = {['='] = 'same', ['!'] = 'other', ['?'] = 'stale'}
local verdict_version, verdicts = string.match(ARGV[12], '^(%d+):(.*)$')
local hidden = {-8, version}

-- Compares a stored element with the message of the same id: see `beside`; "hidden" if that cannot be told here.
local function compared(i, element)
  local verdict = tonumber(verdict_version) == version and FOUND[string.sub(verdicts, i + 1, i + 1)]
  if verdict then
    return verdict
  end
  local lists = trimming()
  return lists.beside(lists.record_in(element), ARGV[HEAD + 3 * i + 3]) or 'hidden'
end

-- Returns the position where the session holds exactly these messages in a row; nil if it does not, or if that is
-- hidden.
local function already_there()
  local start
  for i = 0, COUNT - 1 do
    local id = ARGV[HEAD + 3 * i + 1]
    local position = not start and id ~= '' and find_id(session, id)
    start = start or position and position - i
  end
  local ranges = start and ranges_of(session)
  for i = 0, start and COUNT - 1 or -1 do
    local index = within(ranges, start + i) and index_of(list, start + i)
    local element = index and redis.call('LINDEX', list, index)
    local found = element and compared(i, element)
    if found == 'hidden' then
      add(hidden, i, element)
    elseif found ~= 'same' then
      return
    end
  end
  return start
end

if expected ~= '' and tonumber(expected) ~= version then
  local start = COUNT > 0 and not session.index_lost and ACT == '' and already_there()
  if not start then
    return {-1, version}
  elseif #hidden > 2 then
    return hidden
  end
  return told(string.format('%.0f:%.0f:%.0f:%.0f', version, start, start + COUNT - 1, COUNT))
end

local position = next_position(session)

-- By index of the message: `ats` its position; `slots` its index in `records`, if it is new; `places` its index in the
-- list, if it is stored. `given` holds the index of the last message with an id.
local records, names, changed, ats, slots, places, given = {}, {}, {}, {}, {}, {}, {}
local first, last, duplicates = -1, -1, 0
local sealed, known, misplaced = nil, {-7, position}, false
if ARGV[11] ~= '' then
  sealed = {}
  for at in string.gmatch(ARGV[11], '%d+') do
    sealed[#sealed + 1] = tonumber(at)
  end
end

-- What the index holds of the messages' ids.
local stored = {}
for from = 0, session.index ~= NO_INDEX and COUNT - 1 or -1, SLICE do
  local wanted = {}
  for i = from, math.min(from + SLICE, COUNT) - 1 do
    wanted[#wanted + 1] = 'm' .. ARGV[HEAD + 3 * i + 1]
  end
  for i, value in ipairs(redis.call('HMGET', ids, unpack(wanted))) do
    stored[from + i] = value
  end
end

-- Looks up a message's id. Returns what `beside` says of the message there, or "new", "hidden", or "again" for one more
-- message with that id; then its position, its index in the list, and its element.
local function found_of(i, id, digest)
  local twin, found, at, index, element = given[id], 'new', nil, nil, nil
  if twin and sealed then
    found, at, index = ARGV[HEAD + 3 * twin + 2] == digest and 'same' or 'other', ats[twin], places[twin]
  elseif twin then
    found = trimming().beside(ARGV[HEAD + 3 * twin + 3], ARGV[HEAD + 3 * i + 3]) or 'other'
    at, index = ats[twin], places[twin]
  elseif not removed[id] then
    at, index = find(session, stored[i + 1])
    if at then
      element = redis.call('LINDEX', list, index)
      found = mode == 'put' and 'other' or compared(i, element)
      if (mode == 'error' or mode == 'add') and session.branches and not within(ranges_of(session), at) then
        found = 'other' -- nobody would see it on the active branch
      end
    end
  end
  if mode == 'add' and found ~= 'same' and found ~= 'hidden' then
    local before = given[id .. digest] or
      session.index ~= NO_INDEX and find(session, redis.call('HGET', ids, 'd' .. digest))
    if before and within(ranges_of(session), before) then
      return 'same', before
    end
    found = found == 'other' and 'again' or found
  end
  return found, at, index, element
end

local lead = (session.branches or session.answers) and '0' or '' -- as in `label`, which would write the position twice
for i = 0, COUNT - 1 do
  local id, digest, record = ARGV[HEAD + 3 * i + 1], ARGV[HEAD + 3 * i + 2], ARGV[HEAD + 3 * i + 3]
  local found, at, index, element = 'new', nil, nil, nil
  if id ~= '' and is_promised(session, id) then
    return {-2, i, 1}
  elseif id ~= '' and ended then -- whoever has this id keeps it
    found = find(session, stored[i + 1]) and 'again' or 'new'
  elseif id ~= '' then
    found, at, index, element = found_of(i, id, digest)
  end
  if found == 'hidden' and mode ~= 'replace' then
    add(hidden, i, element)
  elseif found == 'other' and mode == 'error' then
    return {-2, i}
  end
  if found == 'new' or found == 'stale' or found == 'again' then
    at = position
    position = position + 1
    local text = written(at)
    records[#records + 1] = lead .. text .. ':' .. record
    if found == 'again' and mode == 'add' then
      add(names, 'd' .. digest, text)
      given[id .. digest] = at
    elseif id ~= '' and found ~= 'again' then
      add(names, 'm' .. id, text)
      given[id], ats[i], slots[i] = i, at, #records
    end
    known[#known + 1] = -1
  else
    duplicates = duplicates + 1
    known[#known + 1] = at
    if found ~= 'same' and (mode == 'replace' or mode == 'put') then
      local slot = given[id] and slots[given[id]]
      if slot then
        records[slot] = label(session, at) .. record
      else
        changed[#changed + 1] = {index, label(session, at) .. record, at}
      end
      given[id], ats[i], slots[i], places[i] = i, at, slot, index
    elseif sealed then
      sealed[i + 1] = at -- it is not written
    end
  end
  misplaced = misplaced or sealed and sealed[i + 1] ~= at
  first, last = first < 0 and at or math.min(first, at), math.max(last, at)
end
if #hidden > 2 then
  return hidden
elseif misplaced then
  return known
end

-- The positions between which messages were replaced and removed, for listeners.
local ranges = {}
local function note(kind, from, to)
  local one = ranges[kind] or {from, to}
  ranges[kind] = {math.min(one[1], from), math.max(one[2], to)}
end

if begun then -- first, since the user may lack the right to it
  if #session.running == 1 then
    redis.call('UNLINK', stream_key()) -- of answers that somebody deleted by hand
  end
  begun.last = redis.call('XADD', stream_key(), '*', 'a', begun.id, 't', begun.token)
end

local result = {version, first, last, duplicates}
local writes = #records + #changed > 0
if key ~= '' and COUNT > 0 then
  if session.index ~= KEYS_TOO then
    add(names, 'x', '1')
  end
  session.index = KEYS_TOO
elseif #names > 0 and session.index == NO_INDEX then
  session.index = IDS
end
for _, change in ipairs(changed) do
  redis.call('LSET', list, change[1], change[2])
  note('replaced', change[3], change[3])
end
for at = 14, HEAD do
  local gone, index = find_id(session, ARGV[at])
  if index then
    local marker = 'removed:' .. token
    redis.call('LSET', list, index, marker)
    redis.call('LREM', list, index < session.length / 2 and 1 or -1, marker)
    if session.branches then
      local tree = branching().tree_of(session)
      branching().forget(tree, gone, index)
      branching().keep(session, tree)
    end
    if gone <= (end_of(redis.call('HGET', state, 'summary')) or -1) then
      redis.call('HDEL', state, 'summary') -- it speaks of what is not there any more, or not in that place
    end
    redis.call('HDEL', ids, 'm' .. ARGV[at])
    redis.call('HSET', ids, 't', written(position))
    writes, session.edited = true, version + 1
    note('removed', gone, gone)
    result[1] = version + 1
  end
end
if writes then
  result[1] = version + 1
end
local text = string.format('%.0f:%.0f:%.0f:%.0f', result[1], first, last, duplicates)
if key ~= '' and COUNT > 0 then
  add(names, 'k' .. key, text)
end
if #names > 0 or #changed > 0 and session.index ~= NO_INDEX then
  add(names, 'e', sign_of(session, result[1], token))
end
in_slices('RPUSH', list, records)
in_slices('HSET', ids, names)
result[5] = owner
with_marks(session, result)
if not writes and not begun and not session.exists then
  return result
end

local time = now ~= '' and now or microseconds_now()
local fields = {'version', written(result[1])}
if writes then
  fields = {'version', fields[2], 'next', written(position), 'updated', time}
end
if writes or ACT ~= '' then
  add(fields, 'recent', remember(others, token, text))
end
if not session.created then
  add(fields, 'created', time)
end
local trimmed = #changed == 0 and most and #records > 0 and trim(session, most)
if trimmed then
  note('removed', trimmed[1], trimmed[2])
end
if #changed > 0 or trimmed then
  session.edited = result[1]
  trimming().sweep(session, token)
end
if session.edited == result[1] then
  add(fields, 'edited', fields[2])
end
local newest = #changed == 0 and HEAD == 13 and records[#records] or redis.call('LINDEX', list, -1)
if begun then
  local shown = spans(ranges_of(session), -1, math.huge, 1, true)[1]
  begun.after = shown and position_at(list, shown[1]) or -1
end
if ACT ~= '' and running.answers_text(session) then
  add(fields, 'answers', session.answers)
elseif ACT ~= '' then
  redis.call('HDEL', state, 'answers')
end
settle(session, fields, newest, ttl, restart, token)
if begun then
  running.keep_alive(session, begun.lease)
elseif ended then
  if session.answers then
    redis.call('XADD', stream_key(), '*', 'a', ended.id, 'e', ended.token)
  else
    redis.call('UNLINK', stream_key())
  end
  send(stream_key(), '')
end
if #records > 0 then
  publish('appended', result[1], position - #records, position - 1)
end
for _, kind in ipairs({'replaced', 'removed'}) do
  if ranges[kind] then
    publish(kind, result[1], ranges[kind][1], ranges[kind][2])
  end
end
if begun then
  publish('answer', result[1])
end
return result
