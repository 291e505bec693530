-- Before the scripts of sessions: one deadline for all the keys of a session, to the millisecond.
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
