-- The task of edit.lua that stores messages behind any message of the session, and metadata with them.

-- Makes the active branch one that ends with a position, -1 for before the first message.
local function end_with(position)
  local ranges = ranges_of(session)
  local shown = position == -1 or within(ranges, position)
  if shown and spans(ranges, position, math.huge, 1).length == 0 then
    return
  end
  told = {{'branch'}}
  local tree, active = branching().tree_of(session)
  local source = active
  for _, branch in ipairs(tree) do
    local last = branch.ranges[#branch.ranges]
    if branch ~= active and last and last[2] == position then
      branching().close(session, active)
      branching().open(session, tree, branch)
      branching().keep(session, tree)
      return
    elseif not shown and within(branch.ranges, position) then
      source = branch
    end
  end
  begin_branch(tree, active, source.ranges, position)
end

function tasks.commit()
  local size, values = string.match(what, '^(%d+):(.*)$')
  if string.sub(values, 1, tonumber(size)) ~= (redis.call('HGET', state, 'metadata') or '') then
    return {-1, version}
  end
  how, what = string.match(how, '^(%a+):(.*)$')
  local before, index = target()
  if how == 'at' and what == '-1' then
    before = -1
  elseif not index then
    return {-4}
  end
  local clash = taken(function() return true end)
  if clash then
    return clash
  end
  local count, position, places, elements = (#ARGV - HEAD) / 3, next_position(session), {}, {}
  for i = 1, count do
    places[i] = written(position + i - 1)
  end
  if count > 0 and ARGV[11] ~= '' and ARGV[11] ~= table.concat(places, ',') then
    return {-7, position}
  end
  end_with(before)
  if session.branches and #session.branches > MOST_BRANCHES then
    return {-12}
  end
  for i = 1, count do
    elements[i] = label(session, position + i - 1) .. ARGV[HEAD + 3 * i]
  end
  in_slices('RPUSH', list, elements)
  in_slices('HSET', ids, names_at(position))
  redis.call('HSET', state, 'metadata', string.sub(values, tonumber(size) + 1))
  session.next = position + count
  if count > 0 then
    told[#told + 1] = {'appended', position, position + count - 1}
  end
  told[#told + 1] = {'metadata'}
  return {version + 1, count > 0 and position or -1, 0}
end
