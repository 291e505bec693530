-- Shared by scripts that write: what changes the branches of a session; see branches.lua. Made on first use, as in
-- trimming.lua.
local branching_made
local function branching()
  if branching_made then
    return branching_made
  end
  local OPEN = math.huge

  local function text_of(tree)
    local parts = {tree.active .. ' ' .. tree.following}
    for _, branch in ipairs(tree) do
      local ranges = {}
      for at, range in ipairs(branch.ranges) do
        ranges[at] = written(range[1]) .. '-' .. (range[2] == OPEN and '' or written(range[2]))
      end
      parts[#parts + 1] = table.concat({branch.number, branch.created, branch.updated, table.concat(ranges, ',')}, ' ')
    end
    return table.concat(parts, '|')
  end

  local function time_in(text)
    return string.match(text or '', '^%d+$') or '0'
  end

  -- Returns the branches, and the active one. A session without branches has one of number 0.
  local function tree_of(session)
    local text = session.branches or string.format('0 1|0 %s %s 0-', time_in(session.created), time_in(session.updated))
    local tree, active = {}, nil
    tree.active, tree.following = string.match(text, '^(%d+) (%d+)')
    for number, created, updated in string.gmatch(text, '|(%d+) (%d+) (%d+)') do
      local branch = {number = number, created = created, updated = updated}
      branch.ranges = session.branches and ranges_of(session, number) or {{position_at(list, 0), OPEN}}
      tree[#tree + 1] = branch
      if number == tree.active then
        active = branch
      end
    end
    return tree, active
  end

  local function branch_in(tree, number)
    for at, branch in ipairs(tree) do
      if branch.number == number then
        return branch, at
      end
    end
  end

  local function keep(session, tree)
    session.branches, session.regrouped = text_of(tree), true
  end

  -- Returns the parts of ranges between two positions that they hold.
  local function between(ranges, first, last)
    local kept = {}
    for _, range in ipairs(ranges) do
      if range[1] <= last and range[2] >= first then
        kept[#kept + 1] = {math.max(range[1], first), math.min(range[2], last)}
      end
    end
    return kept
  end

  -- Returns ranges without the positions of others.
  local function without(ranges, others)
    for _, other in ipairs(others) do
      local left = {}
      for _, range in ipairs(ranges) do
        if other[2] < range[1] or other[1] > range[2] then
          left[#left + 1] = range
        else
          if range[1] < other[1] then
            left[#left + 1] = {range[1], other[1] - 1}
          end
          if other[2] < range[2] then
            left[#left + 1] = {other[2] + 1, range[2]}
          end
        end
      end
      ranges = left
    end
    return ranges
  end

  -- Returns the ranges of positions that only one of the branches shows.
  local function own(tree, branch, ranges)
    for _, other in ipairs(tree) do
      if other ~= branch then
        ranges = without(ranges, other.ranges)
      end
    end
    return ranges
  end

  -- Returns the last position in the list, -1 for none.
  local function newest()
    local length = redis.call('LLEN', list)
    return length > 0 and position_at(list, length - 1) or -1
  end

  -- Ends the active branch at the last message.
  local function close(session, branch)
    local ranges = branch.ranges
    local last, before = ranges[#ranges], ranges[#ranges - 1]
    if not last or last[2] ~= OPEN then
      return
    end
    last[2] = newest()
    if last[1] > last[2] then
      table.remove(ranges)
      return
    end
    branch.updated = time_in(session.updated)
    if before and before[2] + 1 == last[1] then
      before[2] = last[2]
      table.remove(ranges)
    end
  end

  -- Makes a branch the one that appended messages belong to.
  local function open(session, tree, branch)
    session.next = next_position(session)
    branch.ranges[#branch.ranges + 1] = {session.next, OPEN}
    tree.active = branch.number
  end

  -- Returns whether another branch begins with all that one shows.
  local function is_beginning(tree, branch)
    for _, other in ipairs(tree) do
      local same = other ~= branch
      for at, range in ipairs(branch.ranges) do
        local its = other.ranges[at] or {}
        same = same and range[1] == its[1] and (range[2] == its[2] or at == #branch.ranges and range[2] < its[2])
      end
      if same then
        return true
      end
    end
    return false
  end

  -- Removes parts of the list: cheaply at its ends, by a mark in between.
  local function erase(session, parts, token)
    for _, part in ipairs(parts) do
      forget_notes(session, part[1], part[2])
    end
    local length, low, high = redis.call('LLEN', list), 0, 0
    local first, last = parts[1], parts[#parts]
    if not first then
      return
    elseif first[1] == 0 and first[2] == length then
      redis.call('UNLINK', list)
      return
    end
    if last[2] == length then
      redis.call('LTRIM', list, 0, last[1] - 1)
      high = 1
    end
    if first[1] == 0 then
      redis.call('LTRIM', list, first[2], -1)
      low = 1
    end
    local offset, count, marker = low * first[2], 0, 'removed:' .. token
    for number = 1 + low, #parts - high do
      for index = parts[number][1], parts[number][2] - 1 do
        redis.call('LSET', list, index - offset, marker)
        count = count + 1
      end
    end
    if count > 0 then
      redis.call('LREM', list, parts[1 + low][1] < length / 2 and count or -count, marker)
    end
  end

  -- Takes a removed position out of the ends of ranges, so that each end is a message's.
  local function forget(tree, position, index)
    local length = redis.call('LLEN', list)
    local following = index < length and position_at(list, index) or OPEN
    local before = index > 0 and position_at(list, index - 1) or -1
    for _, branch in ipairs(tree) do
      local ranges = {}
      for _, range in ipairs(branch.ranges) do
        if range[1] == position and not (range[2] == OPEN and following == OPEN) then
          range[1] = following
        end
        if range[2] == position then
          range[2] = before
        end
        if range[1] <= range[2] then
          ranges[#ranges + 1] = range
        end
      end
      branch.ranges = ranges
    end
  end

  -- Leaves only the positions up to `head` and those from `from` on. Branches with none of the latter go.
  local function cut(tree, head, from)
    for at = #tree, 1, -1 do
      local branch, ranges, last = tree[at], {}, -1
      for _, range in ipairs(branch.ranges) do
        if range[1] <= head then
          ranges[#ranges + 1] = {range[1], math.min(range[2], head)}
        end
        if range[2] >= from then
          ranges[#ranges + 1] = {math.max(range[1], from), range[2]}
          last = range[2]
        end
      end
      branch.ranges = ranges
      if last < from and branch.number ~= tree.active then
        table.remove(tree, at)
      end
    end
  end

  -- Has every branch begin with so many messages, from position 0 on.
  local function begin(tree, count)
    for _, branch in ipairs(tree) do
      if count > 0 then
        table.insert(branch.ranges, 1, {0, count - 1})
      end
    end
  end

  branching_made = {tree_of = tree_of, branch_in = branch_in, keep = keep, between = between, without = without, own = own, close = close,
    open = open, is_beginning = is_beginning, erase = erase, forget = forget, cut = cut,
    begin = begin}
  return branching_made
end
