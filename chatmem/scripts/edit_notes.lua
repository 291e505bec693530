-- The tasks of edit.lua that keep something beside messages: a summary, and annotations.

function tasks.summarize()
  local position, index = shown_target()
  if not index then
    return {-4}
  end
  local view, ranges = view_of(session), ranges_of(session)
  local cut = lists.whole(view, spans(ranges, -1, position + 1, math.huge).length, 8 * lists.LARGEST_EXCHANGE)
  if cut == 0 then
    return {version, -1, 0}
  end
  local last = position_at(list, in_list(view, cut - 1))
  local newer = summary_in(session.summary, ranges)
  if newer and newer > last then
    return {-13, newer}
  end
  redis.call('HSET', state, 'summary', summary_of(last, HEAD + 3, 3))
  told = {{'summary'}}
  return {version, last, cut}
end

-- Returns the pairs in an annotation: a list of keys, and their values.
local function pairs_in(text)
  local keys, values = {}, {}
  for key, value in string.gmatch(text, '([^\t\n]+)\t([^\n]*)\n') do
    keys[#keys + 1], values[key] = key, value
  end
  return keys, values
end

function tasks.annotate()
  local position, index = target()
  if not index then
    return {-4}
  elseif ARGV[11] ~= '' and tonumber(ARGV[11]) ~= position then
    return {-7, position}
  end
  local field = 'a' .. written(position)
  local keys, values = pairs_in(session.index ~= NO_INDEX and redis.call('HGET', ids, field) or '')
  for at = HEAD + 1, #ARGV, 3 do
    if ARGV[at + 1] ~= '' and ARGV[at + 1] ~= values[ARGV[at]] then
      return {version, -1, 0}
    end
  end
  for at = HEAD + 1, #ARGV, 3 do
    if not values[ARGV[at]] then
      keys[#keys + 1] = ARGV[at]
    end
    values[ARGV[at]] = ARGV[at + 2]
  end
  local kept = {}
  for _, key in ipairs(keys) do
    if values[key] ~= '' then
      kept[#kept + 1] = key .. '\t' .. values[key] .. '\n'
    end
  end
  local text = table.concat(kept)
  if text == '' then
    free_memory()
    redis.call('HDEL', ids, field)
  else
    redis.call('HSET', ids, field, text)
    redis.call('HSET', state, 'noted', '1')
    session.index = session.index == NO_INDEX and IDS or session.index
  end
  told = {{'annotated', position, position}}
  return {version, position, 1}
end
