-- Shared by scripts of sessions: running answers. The state's field "answers" exists only while an answer runs: for each
-- "token number deadline started stop after last size:id". A token names the producer; the number counts the batches of
-- chunks that it has written; the deadline, in milliseconds since 1970, is the end of its lease; it started at a time in
-- microseconds since 1970; stop is "1" once somebody has asked for it; after is the position that it answers, -1 for
-- none; last is the id of its last entry in the stream of chunks; then comes its id, with the number of bytes before it.
--
-- Who reads the list alone must notice that the lease of an answer may be over. So while one runs, the position in the
-- last element begins with a zero, as it does where there are branches; and the letter in "life" is a capital.
--
-- Lua makes every function anew in every call. Most calls meet no answer, so `answering` makes these on first use.
local ANSWERING, RAN_OUT = -14, -15
local answering_made
local function answering()
  if answering_made then
    return answering_made
  end
  local GRACE, STAYS = 60000, 86400000 -- milliseconds that a session outlives a lease, and that chunks stay at most

  -- Returns the channel on which a producer hears that somebody has asked it to stop.
  local function stop_channel()
    return stream_key() .. ':stop'
  end

  local function answers_of(session)
    if not session.running then
      session.running = {}
      local text, at = session.answers or '', 1
      while at and at <= #text do
        local token, number, deadline, started, stop, after, last, size, start = string.match(text,
          '^(%x+) (%d+) (%d+) (%d+) ([01]) (%-?%d+) (%d+%-%d+) (%d+):()', at)
        at = start and start + tonumber(size)
        if at then
          session.running[#session.running + 1] = {token = token, number = tonumber(number),
            deadline = tonumber(deadline), started = started, stop = stop, after = tonumber(after), last = last,
            id = string.sub(text, start, at - 1)}
        end
      end
    end
    return session.running
  end

  local function answer_of(session, id, token)
    for at, one in ipairs(answers_of(session)) do
      if one.id == id and (not token or one.token == token) then
        return one, at
      end
    end
  end

  -- Writes the answers into the session, and returns them as the state holds them; nil if none runs.
  local function answers_text(session)
    local parts = {}
    for at, one in ipairs(session.running) do
      parts[at] = table.concat({one.token, written(one.number), written(one.deadline), one.started, one.stop,
        written(one.after), one.last, #one.id .. ':' .. one.id}, ' ')
    end
    session.answers = #parts > 0 and table.concat(parts) or nil
    return session.answers
  end

  -- Finds the answers that run, where the state is lost: the stream has how each began, "a id t token", its batches,
  -- and how it ended if others ran then, "a id e token". Their producers get a new lease.
  local function find_answers(session, lease)
    local entries, running, at = redis.pcall('XRANGE', stream_key(), '-', '+'), {}, {}
    for _, entry in ipairs(entries.err and {} or entries) do
      local id, what, value = entry[2][2], entry[2][3], entry[2][4]
      if what == 't' then
        running[#running + 1] = {token = value, number = 0, deadline = milliseconds_now() + lease, stop = '0', id = id,
          started = string.match(entry[1], '^%d+') .. '000', last = entry[1]}
        running[#running].after = session.length > 0 and position_at(list, session.length - 1) or -1
        at[id] = running[#running]
      elseif at[id] and what == 'n' then
        at[id].number, at[id].last = tonumber(value), entry[1]
      elseif at[id] then
        at[id].over = true
      end
    end
    session.running = {}
    for _, one in ipairs(running) do
      if not one.over and not find_id(session, one.id) then
        session.running[#session.running + 1] = one
      end
    end
    return answers_text(session)
  end

  -- Returns the refusal for a session with an answer whose producer let its lease run out, or nil.
  local function overdue(session, id)
    for _, one in ipairs(answers_of(session)) do
      if one.deadline < milliseconds_now() and (not id or one.id == id) then
        return {RAN_OUT, one.id, one.token}
      end
    end
  end

  -- Returns the refusal for a change that would take away the message at a position, which an answer that runs follows.
  -- Without a position, any answer refuses it.
  local function answered(session, goes)
    for _, one in ipairs(answers_of(session)) do
      if not goes or goes(one.after) then
        return {ANSWERING, one.id}
      end
    end
  end

  -- Keeps a session that an answer runs in for longer than the lease, and its chunks no longer than the session.
  local function keep_alive(session, lease)
    local now = milliseconds_now()
    local least = now + lease + GRACE
    if session.ends and session.ends < least then
      session.ends = least
      redis.call('HSET', state, 'until', written(least))
      expire_at(written(least), session)
    end
    redis.call('PEXPIREAT', stream_key(), written(math.min(session.ends or math.huge, now + STAYS)))
  end

  answering_made = {stop_channel = stop_channel, answers_of = answers_of, answer_of = answer_of,
    answers_text = answers_text, find_answers = find_answers, overdue = overdue, answered = answered,
    keep_alive = keep_alive}
  return answering_made
end

-- As in `answering`, but for sessions in which no answer runs, too.
local function overdue(session, id)
  return session.answers and answering().overdue(session, id)
end

local function answered(session, goes)
  return session.answers and answering().answered(session, goes)
end

-- Returns whether an answer that runs is going to store a message with this id.
local function is_promised(session, id)
  return session.answers and answering().answer_of(session, id) ~= nil
end
