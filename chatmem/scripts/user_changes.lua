-- Reads what changed in the index of a user's sessions since a moment.
-- KEYS: the index, its deadlines, the log of changes.
-- ARGV: 1 the id of the last change that the caller knows, empty for none   2 the time of the last write that it knows,
--       empty for none.
-- Returns {1 if the log still holds the change 1, else 0; the id of the newest change; the time of the newest write;
--         how many values of changes follow; then in turn ids and changes, see publishing.lua; then in turn ids and
--         times of sessions that were written later than 2}. Without 1, there are no changes and no sessions.
local index, from, after = KEYS[1], ARGV[1], ARGV[2]
local MOST = 1000 -- sessions

local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
local written = redis.call('ZREVRANGEBYSCORE', index, '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = {0, newest[1] and newest[1][1] or '0-0', written[2] or '0', 0}
if from == '' then
  return reply
end
for _, entry in ipairs(redis.pcall('XRANGE', log, from, '+')) do
  if entry[1] == from then
    reply[1] = 1
  else
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = entry[2][2]
    reply[4] = reply[4] + 2
  end
end
for _, value in ipairs(redis.call('ZRANGEBYSCORE', index, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST)) do
  reply[#reply + 1] = value
end
return reply
