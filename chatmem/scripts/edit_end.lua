-- Runs the task of edit.lua, and writes the state.
local SETS = {update = true, summarize = true, annotate = true}
local ADDS = {keep = true, commit = true}
local result = tasks[task]()
if result[1] < 0 then
  return result
end
local reply = with_marks(session, {result[1], result[2], result[2], result[3], owner, updated})
local changed = result[1] > version
if not session.exists and not changed and task ~= 'update' then
  return reply
end
session.owner = session.owner or user ~= '' and user or nil
local time = now ~= '' and now or microseconds_now()
local fields = {'version', written(result[1])}
if not session.created then
  add(fields, 'created', time)
end
if changed then
  add(fields, 'edited', written(result[1]))
end
if changed and task ~= 'branch' and task ~= 'switch' then
  add(fields, 'updated', time)
end
if changed or SETS[task] then -- so that a late repeat does not undo what was set since
  local affected = task == 'update' and 0 or reply[4] -- a revision is long, and a repeat can tell it
  local text = string.format('%.0f:%.0f:%.0f:%.0f', reply[1], reply[2], reply[3], affected)
  add(fields, 'recent', remember(others, token, text))
end
if session.regrouped and session.next and not ADDS[task] then -- it may follow a branch that begins at the next position
  add(fields, 'next', written(session.next))
end
if ADDS[task] and changed then
  add(fields, 'next', written(session.next))
elseif task == 'compact' and changed then
  add(fields, 'pinned', written(session.pinned) .. ':' .. (session.generation or '0'))
end
if changed then
  lists.sweep(session, token)
end
settle(session, fields, redis.call('LINDEX', list, -1), ttl, task == 'touch' and '1' or restart, token,
  changed and result[1] or nil)
for _, change in ipairs(told) do
  publish(change[1], result[1], change[2], change[3])
end
return reply
