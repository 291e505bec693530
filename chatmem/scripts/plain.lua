-- Shared by the short paths at the head of scripts, which most calls take. They read no more than they need, and come before
-- the functions that other calls need: Lua makes every function anew in every call.

-- Returns what the state holds of a session that exists, is whole, belongs to the user, and has nothing but messages, a
-- title, and what every session has: a list of fields, and the parts of "life" without the mark. Behind them comes the
-- list's last element. Returns nil for any other session. The id index is not looked at.
local function plain_session(user)
  local kept = redis.pcall('HMGET', state, 'version', 'next', 'recent', 'until', 'user', 'edited', 'life', 'title',
    'created', 'updated')
  local version, following, recent, _, owner, edited, life = unpack(kept)
  local fields = 0
  for at = 1, 10 do
    fields = fields + (kept[at] and 1 or 0)
  end
  if not (version and following and recent and life and kept[9] and kept[10]) or user ~= '' and user ~= owner or
    redis.call('HLEN', state) ~= fields or #version > 14 or #following > 14 or edited and #edited > 14 or
    not string.find(version .. ' ' .. following .. ' ' .. (edited or 0), '^%d+ %d+ %d+$') then
    return
  end
  local epoch, index, mark, indexed = string.match(life, '^(........)(%l)([^:]+):(%d+)$')
  local last = redis.pcall('LINDEX', list, '-1')
  if epoch and type(last) == 'string' and mark_of(last) == mark then
    return kept, epoch, index, indexed, last
  end
end
