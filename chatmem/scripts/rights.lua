-- Shared by scripts that write: a script that the server refuses a command halfway leaves a half of what it does, a torn
-- session or a list without what was to stay. So it asks first. Servers before Redis 7 cannot tell.

-- Returns the refusal if the user of the server may not run one of these commands, or nil.
local function denied(commands)
  for name in string.gmatch(redis.acl_check_cmd and commands or '', '%u+') do
    if not redis.acl_check_cmd(name, KEYS[1]) then
      return redis.error_reply('NOPERM this user may not run ' .. name .. '; nothing was changed')
    end
  end
end
