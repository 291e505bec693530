-- Retention: `max_messages`.

-- Keeps the last `most` messages of the active branch, the tool exchange that they begin in, and what is pinned.
-- Whatever is older goes, on any branch. Returns the first and the last position that it removed from the
-- branch, or nil.
local function trim(session, most)
  local view, lists = view_of(session), trimming()
  if view.length <= most then
    return
  end
  local head = heads(session)
  if head == 0 and lists.SYSTEM[(lists.kind_at(in_list(view, 0)))] then
    head = 1
  end
  local cut = lists.whole(view, view.length - most, math.max(most, lists.LARGEST_EXCHANGE))
  if cut <= head then
    return
  end
  local kept, from = {}, in_list(view, cut)
  local removed = {position_at(list, in_list(view, head)), position_at(list, in_list(view, cut - 1))}
  for index = head - 1, 0, -1 do
    kept[#kept + 1] = redis.call('LINDEX', list, in_list(view, index))
  end
  local tree, ranges = session.branches and branching().tree_of(session), ranges_of(session)
  forget_notes(session, head > 0 and in_list(view, head - 1) + 1 or 0, from)
  if tree then
    local text, last = redis.call('HGET', state, 'summary'), head > 0 and position_at(list, in_list(view, head - 1)) or -1
    local boundary = summary_in(text, ranges)
    if boundary and boundary < position_at(list, from) then -- so that the branch still shows the message
      move_summary(text, last)
    end
    branching().cut(tree, last, position_at(list, from))
  end
  redis.call('LTRIM', list, from, -1)
  in_slices('LPUSH', list, kept)
  if tree then
    branching().keep(session, tree)
  end
  return removed
end
