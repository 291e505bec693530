-- The tasks of edit.lua that change branches.

function tasks.branch()
  local position = shown_target()
  if how == 'at' and what == '-1' then
    position = -1
  elseif not position then
    return {-4}
  end
  local tree, active = branching().tree_of(session)
  local ranges = active.ranges
  if spans(ranges, position, math.huge, 1).length == 0 then
    return {version, tonumber(active.number), 0}
  end
  if not session.branches and (end_of(session.summary) or math.huge) < position_at(list, 0) then
    move_summary(session.summary, -1) -- it speaks of what came before all branches
  end
  branching().close(session, active)
  local kept = branching().between(ranges, 0, position)
  if not branching().is_beginning(tree, active) then
    active = {number = tree.following, created = now ~= '' and now or microseconds_now()}
    active.updated, tree.following = active.created, written(tonumber(tree.following) + 1)
    tree[#tree + 1] = active
  end
  active.ranges = kept
  branching().open(session, tree, active)
  branching().keep(session, tree)
  if #session.branches > MOST_BRANCHES then
    return {-12}
  end
  told = {{'branch'}}
  return {version + 1, tonumber(active.number), 1}
end

function tasks.switch()
  local tree, active = branching().tree_of(session)
  local chosen = branching().branch_in(tree, how)
  if not session.exists or not chosen then
    return {-4}
  elseif chosen == active then
    return {version, tonumber(how), 0}
  end
  branching().close(session, active)
  branching().open(session, tree, chosen)
  branching().keep(session, tree)
  told = {{'branch'}}
  return {version + 1, tonumber(how), 1}
end

function tasks.drop()
  local tree, active = branching().tree_of(session)
  local chosen, at = branching().branch_in(tree, how)
  if not session.exists or not chosen then
    return {-4}
  elseif chosen == active then
    return {-11}
  end
  local gone = spans(branching().own(tree, chosen, chosen.ranges), -1, math.huge, math.huge)
  free_memory()
  table.remove(tree, at)
  branching().erase(session, gone, token)
  branching().keep(session, tree)
  keep_next()
  told = {{'branch'}}
  return {version + 1, -1, gone.length}
end
