-- Shared by scripts that write: a script that the server refuses a command halfway leaves a half of what it does, a torn
-- session or a list without what was to stay. So it asks first. Servers before Redis 7 cannot tell.

-- Returns the refusal if the user of the server may not run one of these commands on a key, or nil. By default the key is
-- the session's state for commands on hashes, and its list for the others.
local function denied(commands, key)
  for name in string.gmatch(redis.acl_check_cmd and commands or '', '%u+') do
    if not redis.acl_check_cmd(name, key or string.sub(name, 1, 1) == 'H' and KEYS[3] or KEYS[1]) then
      return redis.error_reply('NOPERM this user may not run ' .. name .. '; nothing was changed')
    end
  end
end
