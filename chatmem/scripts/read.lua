-- Reads what a list command cannot read, or must not without checking the session's user. This file has the arguments, and
-- what most sessions are read for; read_rest.lua has the others.
-- KEYS: list, ids, state.
-- ARGV: 1 the user that the session must belong to, empty for any   2 "1" if it may belong to nobody   3 what to read:
--       "id": 4 a message's id, "at": 4 a position. Returns {0, its element, its annotation}, or {0} if there is none.
--       "page": 4 and 5 the positions behind and before which to read, empty for none, 6 how many, 7 "first" or "last",
--         8 how many bytes to read before it stops, empty for no limit, 9 "1" for the messages of all branches. Returns
--         {0, 1 if there are more elements in that direction, else 0; the elements, oldest first; the position of the
--         first; the session's version; its user; the version of the last change that was not an append; how many
--         messages are pinned at the head; the position before the first element, -1 for none, and the branches, if there
--         are several; the annotation of each element, empty for none, if there are any; 1 if there is a summary}.
--       "tail": 4 how many of the last elements, empty for all. Returns {0, elements}.
--       "window": 4 how many of the last elements, 5 "1" to return them. Returns {0, the number of messages, or one more
--         than the last elements if there are more, the pinned or system messages at the head, the position of the
--         first of the last elements, the position of the last, the version of the last change that was not an append,
--         the last elements; if there is a summary, the position up to which it speaks, and its elements}.
--       "summary": 4 "1" for the summary of whatever branch. Returns {0, the position up to which it speaks, its elements},
--         or {0} if there is none.
--       "count": returns {0, the number of messages}.
--       "branches": returns {0, the branches, empty if there is one; the last position, -1 for none; times of the session:
--         created, updated}.
--       "info": then fields of the state. Returns {0, the number of messages, the fields' values, TTL in milliseconds},
--         the fields "marks" and "answers", empty for none, if there is one of them.
-- All but "id", "at" and "branches" follow the active branch.
-- Returns {-3} if the session is another user's, or nobody's; {-9, why} if it is torn, see session.lua;
--         {-15, id, token} if an answer's lease is over, and nobody has ended it; see answers.lua.
local user, how, what = ARGV[1], ARGV[3], ARGV[4]
local MOST_SYSTEM = 8 -- so many system messages at the head stay in a window

-- Returns whether the id index is the one that the state describes.
local function is_signed(epoch, index, indexed)
  local sign, signed = redis.pcall('HGET', ids, 'e'), epoch .. ':' .. indexed .. ':'
  return type(sign) ~= 'table' and (index == NO_INDEX or string.sub(sign or '', 1, #signed) == signed)
end

-- Returns the last elements of a session that exists, is whole, and has one branch and no answer that runs; nil for any
-- other.
local function plain_tail()
  local kept = redis.pcall('HMGET', state, 'version', 'next', 'life', 'branches', 'user')
  local version, following, life, branches, owner = unpack(kept)
  local epoch, index, mark, indexed = string.match(life or '', '^(........)(%l)([^:]+):(%d+)$')
  if not epoch or branches or user ~= '' and owner ~= user or
    not string.find((version or '') .. ' ' .. (following or ''), '^%d+ %d+$') or #version > 14 or #following > 14 then
    return
  end
  local elements = redis.pcall('LRANGE', list, what == '' and '0' or '-' .. what, '-1')
  local last = elements[#elements]
  if not last or mark_of(last) ~= mark then
    return
  end
  return is_signed(epoch, index, indexed) and {0, elements} or nil
end

-- Returns the window of a plain session whose first messages are not in another form, such as JSON; nil for any other.
local function plain_window()
  local kept, epoch, index, indexed, newest = plain_session(user)
  if not kept or not is_signed(epoch, index, indexed) then
    return
  end
  local length, most = redis.call('LLEN', list), tonumber(what)
  local from, head = written(math.max(length - most, 0)), {}
  for at = 0, math.min(MOST_SYSTEM, length) - 1 do
    local element = redis.call('LINDEX', list, written(at))
    local kind = string.match(element, '^%d+:\1.(%a)')
    if not kind then
      return
    elseif kind ~= 's' and kind ~= 'S' then
      break
    end
    head[#head + 1] = element
  end
  local first = string.match(redis.call('LINDEX', list, from), '^(%d+):')
  local last = string.match(newest, '^(%d+):')
  if first and last and #first < 15 and #last < 15 then
    return {0, math.min(length, most + 1), head, tonumber(first), tonumber(last), tonumber(kept[6] or 0),
      ARGV[5] == '1' and redis.call('LRANGE', list, from, '-1') or {}}
  end
end

local found = how == 'tail' and plain_tail() or how == 'window' and plain_window()
if found then
  return found
end
