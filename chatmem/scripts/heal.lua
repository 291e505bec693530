-- Rebuilds the id index or the state of a session from the ids in its records, which the caller has read.
-- KEYS: list, ids, state.
-- ARGV: 1 a name for this attempt   2 "begin", "go on", "end", or "only" if one call is enough
--       3 what is lost: "index" or "state"
--       4 the user that the session gets, empty to leave it   5 TTL in milliseconds, empty for none
--       6 and 7 the times of the first and the last record, in microseconds since 1970
--       then for each message with an id: its field in the index, its position.
-- Until the end, the session stays torn, so nobody else writes. Whoever begins takes over from an earlier attempt.
-- Returns 1, or 0 if another attempt took over or there is nothing to rebuild.
local LEASE = 30000 -- milliseconds that the producers of answers have to come back
local try, step, why, user, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local session, refused = look('', true)
if session == nil then
  return refused
end
local lost = refused and refused[2] == 'state' and 'state' or not refused and session.index_lost and 'index'
if lost ~= why then
  return 0
end
-- The next position, if the last messages were removed, and whether idempotency keys were used. `look` has found the
-- branches.
local kept = redis.call('HMGET', ids, 't', 'x')
local given, keys_used = kept[1] or session.next and written(session.next), kept[2] or not session.sign and '1' or '0'
local sign = '?' .. try .. '::' .. user -- keeps the proof of the owner if this attempt never ends
if step == 'begin' or step == 'only' then
  redis.call('UNLINK', ids)
elseif session.sign ~= sign then
  return 0
end
redis.call('HSET', ids, 'e', sign, 't', given or '0', 'x', keys_used)
if session.branches then
  redis.call('HSET', ids, 'b', session.branches)
  session.regrouped = true
end
for at = 8, #ARGV, 2 do
  local position = tonumber(ARGV[at + 1])
  redis.call('HSETNX', ids, ARGV[at], place(session, position))
end
if step == 'begin' or step == 'go on' then
  return 1
end

local fields = {'version', written(session.version)}
if why == 'state' then
  -- No version may be given twice: the time in milliseconds is higher than any count of writes.
  local version = written(milliseconds_now())
  local following = math.max(position_at(list, session.length - 1) + 1, number_in(given) or 0)
  following = math.min(following, FULL - 10 ^ 14) -- others may have written any number there
  fields = {'version', version, 'next', written(following), 'edited', version, 'created', ARGV[6], 'updated', ARGV[7]}
  session.owner = session.owner or user ~= '' and user or nil
  local left = redis.call('PTTL', list)
  session.epoch, session.version = nil, tonumber(version)
  session.ends = left > 0 and milliseconds_now() + left or nil -- the deadline that all keys get
  session.index = keys_used == '1' and KEYS_LOST or IDS
  if answering().find_answers(session, LEASE) then
    add(fields, 'answers', session.answers)
  end
  redis.call('HDEL', state, 'recent', 'pinned')
elseif session.index == KEYS_TOO then
  session.index = KEYS_LOST
end
session.index_lost = nil
settle(session, fields, redis.call('LINDEX', list, -1), ttl, '0', try, session.version)
return 1
