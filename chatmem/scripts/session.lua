-- Returns the number in a text of at most 15 digits, which Lua represents exactly; nil for any other text.
local function number_in(text)
  local digits = text and string.match(text, '^%d+$')
  return digits and #digits <= 15 and tonumber(digits) or nil
end

-- Returns whether chatmem wrote an element: it is not damaged, and nothing else pushed it.
local function is_record(element)
  local head, form = string.match(string.sub(element, 1, 17), '^(%d+:)(.)')
  local header = head and string.sub(element, #head + 1, #head + 20)
  if form == '\1' then
    return #header >= 15 and string.find(header, '^..%a') ~= nil
  end
  return form == 'A' and #header == 20 and not string.find(header, '[^%w+/]')
end

-- Returns a refusal if a key holds another type than chatmem's, or else the error that the server answered with.
local function checked(replies)
  for name, reply in pairs(replies) do
    local why = type(reply) == 'table' and reply.err
    if why and string.find(why, 'WRONGTYPE', 1, true) then
      return {TORN, 'type', name}
    elseif why then
      return reply
    end
  end
end

-- Returns a refusal if the list is not the one that the state describes, or nil. A damaged last element proves nothing.
local function list_torn(session)
  if session.length == 0 then
    return session.mark ~= EMPTY and {TORN, 'list'} or nil
  end
  local last = redis.call('LINDEX', list, '-1')
  if mark_of(last) ~= session.mark and is_record(last) then
    return {TORN, 'other'}
  end
end

-- Returns the branches if the text says which of them is active and what it shows; see branches.lua.
local function branches_in(text)
  local active = type(text) == 'string' and string.match(text, '^(%d+) %d+|')
  return active and string.find(text, '|' .. active .. ' %d+ %d+ [%d,-]*') and text or nil
end

-- Returns the key of the log of changes: see publishing.lua. Callers that do not publish do not pass it.
local function log_key()
  return (string.gsub(state, 's$', 'c'))
end

-- Returns the key of the stream of chunks, see answers.lua. It is also the name of the channel that they are sent to.
local function stream_key()
  return (string.gsub(state, 's$', 'a'))
end

local function owner_in(sign)
  return sign and string.match(sign, '^[^:]*:%d*:(.+)$') or nil
end

-- Returns the refusal for a session whose state is lost: it may be mended, or belongs to somebody else.
local function state_torn(session, user, claim)
  if session.length == 0 then
    return {TORN, 'orphan'}
  end
  local owner = owner_in(session.sign)
  if user ~= '' and owner and owner ~= user then
    return {OTHER_USER}
  elseif user ~= '' and not owner and not claim then
    return {TORN, 'owner'}
  end
  return {TORN, 'state', owner or user}
end

-- Returns those fields of the state that few sessions have. A field that is absent is looked for in all of a hash, so
-- they are only asked for if there are more fields than these.
local function rare_fields(kept, field)
  local others = redis.call('HLEN', state)
  for at = 1, #kept do
    others = kept[at] and others - 1 or others
  end
  return others == 0 and {} or redis.call('HMGET', state, 'pinned', 'edited', 'log', 'branches', 'noted', 'marks',
    'answers', field or 'noted')
end

-- Returns the session, or nil and a refusal; both if the session is torn. It reads everything before anything is
-- written, and also the field "summary" if that is asked for.
local function look(user, claim, field)
  local kept = redis.pcall('HMGET', state, 'version', 'next', 'recent', 'created', 'user', 'updated', 'life', 'until',
    'title')
  local length, sign = redis.pcall('LLEN', list), redis.pcall('HGET', ids, 'e')
  if kept.err or type(length) ~= 'number' or type(sign) == 'table' then
    return nil, checked({s = kept, m = length, i = sign})
  end
  local rare = rare_fields(kept, field)
  local version, following, owner = number_in(kept[1]), number_in(kept[2]), kept[5] or nil
  local exists = (kept[1] or kept[4] or kept[7]) and true or false
  if following and following > FULL then
    following = nil
  end
  local damaged = exists and (kept[1] and not version or kept[2] and not following)
  if damaged then
    owner = owner or owner_in(sign)
  end
  local epoch, index, mark, indexed = string.match(kept[7] or '', '^(........)(%a)([^:]+):(%d+)$')
  local session = {exists = exists, length = length, version = version or 0, next = following, owner = owner,
    stored_owner = kept[5], sign = sign, answers = rare[7] or nil,
    epoch = epoch, index = index and string.lower(index) or NO_INDEX, mark = mark or EMPTY, indexed = indexed, recent = kept[3] or '',
    created = kept[4], updated = kept[6], ends = number_in(kept[8]), edited = number_in(rare[2]) or 0, pinned = 0,
    log = rare[3] and log_key(), branches = branches_in(rare[4]), noted = rare[5], marks = rare[6] or nil,
    summary = field and rare[8]}

  if session.exists and user ~= '' and session.owner ~= user and (session.owner or not claim) then
    return nil, {OTHER_USER}
  end
  if not session.exists or damaged then
    if length > 0 or damaged or sign or redis.call('EXISTS', ids) == 1 then
      session.branches = branches_in(redis.pcall('HGET', ids, 'b'))
      if damaged and length == 0 then -- nothing to rebuild it from
        session.damaged = true
        return session, {TORN, 'orphan'}
      elseif damaged then
        return session, {TORN, 'state', session.owner or user}
      end
      return session, state_torn(session, user, claim)
    end
    return session
  end

  if rare[1] then
    local pinned, generation = string.match(rare[1], '^(%d+):(%d+)$')
    session.pinned, session.generation = tonumber(pinned or 0), generation
  end
  if not epoch then -- written by a chatmem that knew no lives
    session.index = redis.call('HLEN', ids) > 0 and KEYS_TOO or NO_INDEX
    return session
  end
  local torn = list_torn(session)
  if torn then
    return session, torn
  end
  if session.index ~= NO_INDEX then
    local of, at = string.match(sign or '', '^([^:]*):(%d+):')
    if of ~= epoch or at ~= indexed and tonumber(at) < tonumber(indexed) then
      session.index_lost = true
    elseif at ~= indexed then
      return session, {TORN, 'other'} -- the state was restored from an earlier moment
    end
  end
  return session
end

-- Returns when the session expires, in milliseconds since 1970, or nil for never. All keys get this one value: with a
-- TTL for each, they would expire one after the other.
local function deadline_of(session, ttl, restart)
  local now, ends = milliseconds_now(), session.ends
  if not ends and session.exists then
    local left = redis.call('PTTL', state)
    ends = left > 0 and now + left or nil
  end
  if ttl ~= '' and (restart == '1' or not ends or ends <= now) then
    return now + tonumber(ttl)
  end
  return ends and ends > now and ends or nil
end

-- Adds the marks of a session that has some to a reply that ends with its user, or with its user and a time.
local function with_marks(session, reply)
  if session.marks then
    reply[6], reply[7] = reply[6] or '0', session.marks
  end
  return reply
end

local function expire_at(deadline, session)
  redis.call('PEXPIREAT', list, deadline)
  redis.call('PEXPIREAT', ids, deadline)
  redis.call('PEXPIREAT', state, deadline)
  if session.log then
    redis.call('PEXPIREAT', session.log, deadline)
  end
  if session.answers then
    redis.call('PEXPIREAT', stream_key(), deadline)
  end
end

-- Returns the field "e" of an index that is written at a version.
local function sign_of(session, version, token)
  session.epoch = session.epoch or string.sub(redis.sha1hex(token .. state .. microseconds_now()), 1, 8)
  session.indexed = written(version)
  session.sign = session.epoch .. ':' .. session.indexed .. ':' .. (session.owner or '')
  return session.sign
end

-- Keeps the branches in the state and in the index, and the sign of them, or of an answer that runs, in the last element,
-- which it returns.
local function keep_branches(session, fields, last)
  if session.regrouped then
    add(fields, 'branches', session.branches)
    redis.call('HSET', ids, 'b', session.branches)
    session.index = session.index == NO_INDEX and IDS or session.index
  end
  if last and not string.find(last, '^0%d') then
    last = '0' .. last
    redis.call('LSET', list, -1, last)
  end
  return last
end

-- Writes the state: the given fields, the owner, the life, and the deadline of all keys. Every change that is not a
-- plain append also writes the index's version, so that an older state never fits a newer index.
local function settle(session, fields, last, ttl, restart, token, version)
  local known = session.sign
  if session.branches or session.answers then
    last = keep_branches(session, fields, last)
  end
  local unsigned = version or not session.epoch or not known or owner_in(known) ~= session.owner
  if session.index ~= NO_INDEX and not session.index_lost and unsigned then -- a lost index stays so until it is rebuilt
    redis.call('HSET', ids, 'e', sign_of(session, version or session.version, token))
  elseif not session.epoch then
    sign_of(session, 0, token)
  end
  if session.owner and session.owner ~= session.stored_owner then
    add(fields, 'user', session.owner)
  end
  local deadline = deadline_of(session, ttl, restart)
  local text = deadline and written(deadline)
  if deadline and deadline ~= session.ends then
    add(fields, 'until', text)
    session.ends = deadline
  end
  local index = session.answers and string.upper(session.index) or session.index
  add(fields, 'life', session.epoch .. index .. mark_of(last) .. ':' .. (session.indexed or '0'))
  redis.call('HSET', state, unpack(fields))
  if text then
    expire_at(text, session)
  end
end
