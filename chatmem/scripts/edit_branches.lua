-- The tasks of edit.lua that change branches.

-- Begins a branch with what ranges show up to a position, and makes it the active one.
local function begin_branch(tree, active, ranges, position)
  if not session.branches and (end_of(session.summary) or math.huge) < position_at(list, 0) then
    move_summary(session.summary, -1) -- it speaks of what came before all branches
  end
  branching().close(session, active)
  local kept, chosen = branching().between(ranges, 0, position), active
  if ranges ~= active.ranges or not branching().is_beginning(tree, active) then
    chosen = {number = tree.following, created = now ~= '' and now or microseconds_now()}
    chosen.updated, tree.following = chosen.created, written(tonumber(tree.following) + 1)
    tree[#tree + 1] = chosen
  end
  chosen.ranges = kept
  branching().open(session, tree, chosen)
  branching().keep(session, tree)
  return chosen
end

function tasks.branch()
  local position = shown_target()
  if how == 'at' and what == '-1' then
    position = -1
  elseif not position then
    return {-4}
  end
  local tree, active = branching().tree_of(session)
  if spans(active.ranges, position, math.huge, 1).length == 0 then
    return {version, tonumber(active.number), 0}
  end
  active = begin_branch(tree, active, active.ranges, position)
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
