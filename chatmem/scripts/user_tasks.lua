-- The other tasks of user.lua.
local tasks = {}

function tasks.get()
  local time, known = redis.call('ZSCORE', index, ARGV[2]), known_of(ARGV[2])
  return known and known > (tonumber(time or nil) or 0) and written(known) or time or ''
end

local function list_marked(name, time, id, count, newest)
  local from, to = '[' .. name .. '/', '(' .. name .. '0' -- "0" is the byte behind "/"
  if newest then
    from, to = to, from
  end
  if time then
    from = '(' .. marking().member(name, time, id)
  end
  local found = redis.call(newest and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX', lists, from, to, 'LIMIT', 0, count)
  local listed, head = {}, #name + 1
  for _, one in ipairs(found) do
    listed[#listed + 1] = string.sub(one, head + 18)
    listed[#listed + 1] = written(tonumber(string.sub(one, head + 1, head + 16)))
  end
  return listed
end

local function list_index(time, id, count, newest)
  local command = newest and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE'
  local from, to = time and ARGV[2] or newest and '+inf' or '-inf', newest and '-inf' or '+inf'
  local listed, offset, found = {}, 0, nil
  repeat -- finds those with the time of the last one again
    found = redis.call(command, index, from, to, 'WITHSCORES', 'LIMIT', offset, count)
    for at = 1, #found, 2 do
      local past = time == tonumber(found[at + 1]) and (newest and found[at] >= id or not newest and found[at] <= id)
      if #listed < 2 * count and not past then
        listed[#listed + 1] = found[at]
        listed[#listed + 1] = found[at + 1]
      end
    end
    offset = offset + count
  until #listed == 2 * count or #found < 2 * count
  return listed
end

function tasks.list()
  forget_expired()
  if redis.call('EXISTS', index) == 0 then
    list_again()
  end
  local time, id, count, newest = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == 'newest'
  local listed = {}
  for at = 6, #ARGV do
    listed[at - 5] = ARGV[at] == '' and list_index(time, id, count, newest)
      or has_lists() and list_marked(ARGV[at], time, id, count, newest) or {}
  end
  return #ARGV < 6 and list_index(time, id, count, newest) or listed
end

function tasks.count()
  forget_expired()
  local counts = {}
  for at = 2, #ARGV do
    local name = ARGV[at]
    counts[at - 1] = name == '' and redis.call('ZCARD', index)
      or redis.call('ZLEXCOUNT', lists, '[' .. name .. '/', '(' .. name .. '0')
  end
  return counts
end

function tasks.drop()
  local removed, at = 0, 2
  while at < #ARGV and removed < MEMBERS do
    local time, id, known = tonumber(ARGV[at]), ARGV[at + 1], known_of(ARGV[at + 1])
    local stored = tonumber(redis.call('ZSCORE', index, id) or nil)
    if (stored or known) and (not stored or stored <= time) and (not known or known <= time) then
      redis.call('ZREM', index, id)
      redis.call('ZREM', deadlines, id)
      removed = removed + (known and marking().unmark(id) or 0)
      publish_session('removed', math.max(stored or known, known or stored), id)
    end
    at = at + 2
  end
  return marked and {(at - 2) / 2, redis.call('EXISTS', lists)} or 0
end

return tasks[ARGV[1]]()
