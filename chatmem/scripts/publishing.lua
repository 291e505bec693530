-- Shared by scripts that write: tells those who listen what changed. A caller that publishes passes the key of the log
-- of changes as the last key. Without it, nothing here does anything.
-- The log is a stream, for listeners that come later or were away. Each change also goes to the channel with the log's
-- name, with the id of the change before it, so that a listener knows whether it missed one.
-- An entry of a session's log is "version kind first last", with positions, -1 for none. An entry of a user's log is
-- "time kind session", see user.lua.
local log = string.sub(KEYS[#KEYS], -3) == '}:c' and KEYS[#KEYS]
local LOGGED = 1000 -- changes that a log keeps, roughly

-- Sends a text to those who listen now. Servers before Redis 7 have no sharded channels.
local function send(channel, text)
  if type(redis.pcall('SPUBLISH', channel, text)) == 'table' then
    redis.pcall('PUBLISH', channel, text)
  end
end

-- Logs a change and sends it. The write itself is done already, so nothing here may raise an error: without a right to
-- these commands, nothing is published, and listeners compare versions.
local function tell(text)
  local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  local id = redis.pcall('XADD', log, 'MAXLEN', '~', LOGGED, '*', 'c', text)
  if type(id) == 'string' then
    send(log, (newest[1] and newest[1][1] or '0-0') .. ' ' .. id .. ' ' .. text)
  end
end

-- Publishes a change of a session, when its state is written. Without positions, the change has kept the version.
-- The state says that there is a log, so that writers that do not publish let it expire with the session, or erase it.
local function publish(kind, version, first, last)
  if not log then
    return
  end
  tell(string.format('%.0f %s %.0f %.0f', version, kind, first or -1, last or -1))
  local kept = redis.call('HMGET', KEYS[3], 'until', 'log')
  if not kept[2] then
    redis.call('HSET', KEYS[3], 'log', '1')
  end
  if kept[1] and tonumber(kept[1]) > milliseconds_now() then
    redis.call('PEXPIREAT', log, kept[1])
  end
end
