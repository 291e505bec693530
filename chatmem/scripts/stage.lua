-- Builds a new session aside, one slice in each call, and puts it in place as a whole.
-- KEYS: list, ids, state, then the list and the ids that are built aside.
-- ARGV: 1 "add": 2 the position of the first message, 3 how many messages a compaction put at the head, then for each
--         message: its id, empty for none, its record. Returns {0}.
--       1 "annotate": for each message that has annotations: 2 its position, 3 the annotations. Returns {0}.
--       1 "commit": 2 token, 3 TTL in milliseconds, empty for none, 4 the user, empty for none, 5 an idempotency key,
--         6 the number of messages, 7 how many of them a compaction put at the head; of a session that has more than
--         messages also 8 and 9 when it was created and updated, each empty for now, 10 "1" if there are annotations,
--         11 the branches, empty if there is one, 12 the position up to which the summary speaks, empty if there is
--         none, then its records. Returns {version, 0}, or {version, -1} if it was committed before; {-1, version} if
--         there is another session; {-4} if the part built aside is gone;
--         {-9, why} if the session is torn, see session.lua.
-- What is built aside expires if its builder does not come back.
local aside, names_aside = KEYS[4], KEYS[5]
local STAYS = 600000 -- milliseconds

local no_right = denied(ARGV[1] == 'add' and 'HSETNX PEXPIRE' or 'HSET PEXPIRE PERSIST PEXPIREAT TIME')
if no_right then
  return no_right
end
if ARGV[1] == 'add' then
  local position, elements, names = tonumber(ARGV[2]), {}, {}
  local head = {pinned = tonumber(ARGV[3]), generation = '1'}
  for at = 4, #ARGV, 2 do
    elements[#elements + 1] = written(position) .. ':' .. ARGV[at + 1]
    if ARGV[at] ~= '' then
      names[#names + 1] = {'m' .. ARGV[at], place(head, position)}
    end
    position = position + 1
  end
  if redis.call('LLEN', aside) == tonumber(ARGV[2]) then -- a repeated slice is there already
    in_slices('RPUSH', aside, elements)
    for _, name in ipairs(names) do -- of several messages with one id, the index names the first
      redis.call('HSETNX', names_aside, name[1], name[2])
    end
  end
  redis.call('PEXPIRE', aside, STAYS)
  redis.call('PEXPIRE', names_aside, STAYS)
  return {0}
end

if ARGV[1] == 'annotate' then
  local notes = {}
  for at = 2, #ARGV, 2 do
    add(notes, 'a' .. ARGV[at], ARGV[at + 1])
  end
  in_slices('HSET', names_aside, notes)
  redis.call('PEXPIRE', names_aside, STAYS)
  return {0}
end

local token, ttl, user, key, count = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local session, refused = look('', true)
if refused and refused[2] ~= 'orphan' then
  return refused
elseif not refused and session.exists then
  local done = session.index == KEYS_TOO and redis.call('HGET', ids, 'k' .. key)
  return done and {session.version, -1} or {-1, session.version}
elseif redis.call('LLEN', aside) ~= count then
  return {-4}
end
redis.call('UNLINK', ids)
if count == 0 then
  return {0, 0}
end
redis.call('RENAME', aside, list)
redis.call('HSET', names_aside, 'x', '1', 'k' .. key, '1:0:' .. written(count - 1) .. ':0')
redis.call('RENAME', names_aside, ids)
for at = 1, 2 do
  redis.call('PERSIST', KEYS[at])
end
local time = microseconds_now()
session.pinned, session.generation = tonumber(ARGV[7]), '1'
session.index, session.sign, session.owner = KEYS_TOO, nil, user ~= '' and user or nil
local created, updated, noted, branches, summarized = unpack(ARGV, 8, 12)
session.branches, session.regrouped = branches ~= '' and branches or nil, true
local fields = {'version', '1', 'next', written(count), 'created', (created or '') ~= '' and created or time,
  'updated', (updated or '') ~= '' and updated or time,
  'recent', remember('', token, '1:0:' .. written(count - 1) .. ':0')}
if session.pinned > 0 then
  add(fields, 'pinned', written(session.pinned) .. ':1')
end
if noted == '1' then
  add(fields, 'noted', '1')
end
if summarized and summarized ~= '' then
  add(fields, 'summary', summary_of(tonumber(summarized), 13, 1))
end
settle(session, fields, redis.call('LINDEX', list, -1), ttl, '1', token, 1)
publish('appended', 1, 0, count - 1)
return {1, 0}
