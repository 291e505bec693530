-- Reads what changed in a session since a moment.
-- KEYS: list, ids, state, log of changes.
-- ARGV: 1 the user that the session must belong to, empty for any   2 "1" if it may belong to nobody
--       3 the id of the last change that the caller knows, empty for none   4 or the version that it knows, empty for none
-- Returns {0, 1 if the session exists, else 0; its version; the version of the last change that was not an append; the
--         next position; 1 if the log still holds the change 3, else 0; the id of the newest change; then in turn ids
--         and changes, see publishing.lua}. There are no changes if neither 3 nor 4 is given;
--         {-3} if the session is another user's, or nobody's; {-9, why} if it is torn, see session.lua;
--         {-15, id, token} if an answer's lease is over, and nobody has ended it; see answers.lua.
local session, refused = look(ARGV[1], ARGV[2] == '1')
refused = refused or overdue(session)
if refused then
  return refused
end
local from, version = ARGV[3], tonumber(ARGV[4])
-- A user of the server may lack the right to read streams, and then there is no log for it.
local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
local reply = {0, session.exists and 1 or 0, session.version, session.edited, session.next or 0, 0,
  newest[1] and newest[1][1] or '0-0'}
if from == '' and not version then
  return reply
end

local known = false -- whether the first change of the version that the caller knows was met
for _, entry in ipairs(redis.pcall('XRANGE', log, from ~= '' and from or '-', '+')) do
  local id, text = entry[1], entry[2][2]
  local at = tonumber(string.match(text, '^%d+'))
  if id == from then
    reply[6] = 1
  elseif not version or at > version or known and at == version then
    add(reply, id, text)
  end
  known = known or at == version
end
return reply
