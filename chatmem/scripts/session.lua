-- Before the scripts of sessions: their deadline, and the calls they remember.
local REMEMBERED = 1024

-- One deadline for all the keys of a session, to the millisecond.
-- PEXPIRE would count from the moment of each call; these must not differ, or a session would expire in parts.
local function set_deadline(milliseconds, only_where_missing)
  local time = redis.call('TIME')
  local deadline = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + milliseconds)
  for _, name in ipairs(KEYS) do
    if not only_where_missing or redis.call('PTTL', name) == -1 then
      redis.call('PEXPIREAT', name, deadline)
    end
  end
end

-- After a write: restarts the time to live where that is wanted or there is none; new keys get that of the others.
local function settle(state, ttl, restart)
  local left = (ttl == '' or restart ~= '1') and redis.call('PTTL', state) or -1
  if ttl ~= '' and left < 0 then
    set_deadline(tonumber(ttl), false)
  elseif left > 0 then
    set_deadline(left, true)
  end
end

-- Returns what the last calls did, by their tokens: a client or a proxy that got no reply sends the same call again.
local function remember(recent, token, text)
  if #recent > REMEMBERED then
    recent = string.match(string.sub(recent, 1, REMEMBERED), '^(.*);') or '' -- the last one may be cut in two
  end
  return ';' .. token .. ':' .. text .. recent
end

local function recall(recent, token)
  local _, token_end = string.find(recent, ';' .. token .. ':', 1, true)
  return token_end and string.sub(recent, token_end + 1)
end
