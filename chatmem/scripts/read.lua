-- Reads messages of a session by position or id.
-- KEYS: list, ids, state.
-- ARGV: 1 "id", 2 a message's id, or 1 "at", 2 a position: returns its element in a list, or an empty one;
--       1 "page", 2 and 3 the positions behind and before which, empty for none, 4 how many, 5 "first" or "last":
--       returns {1 where there are more of them beyond, else 0; the elements, oldest first; the position
--       of the first; the session's version; its user}.
local list, ids = KEYS[1], KEYS[2]
local how, what = ARGV[1], ARGV[2]

if how == 'id' then
  local _, index = find_id(list, ids, what)
  return {index and redis.call('LINDEX', list, index)}
elseif how == 'at' then
  local index = index_of(list, tonumber(what))
  return {index and redis.call('LINDEX', list, index)}
end

local before, limit = ARGV[3], tonumber(ARGV[4])
local from = what == '' and 0 or index_from(list, tonumber(what) + 1)
local to = before == '' and redis.call('LLEN', list) or index_from(list, tonumber(before))
local more = to - from > limit and 1 or 0
if ARGV[5] == 'last' then
  from = math.max(from, to - limit)
else
  to = math.min(to, from + limit)
end
local elements = to > from and redis.call('LRANGE', list, from, to - 1) or {}
local kept = redis.call('HMGET', KEYS[3], 'version', 'user')
return {more, elements, position_at(list, from), number_in(kept[1]) or 0, kept[2] or ''}
