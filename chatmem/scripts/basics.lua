-- Shared by scripts of sessions: whether the three keys belong together, whose session it is, and when it expires.
--
-- A server may evict, expire or restore one key without the others. So each key says which life of the session it
-- belongs to. The state's field "life" holds eight characters that name the life (the epoch), one that says what the
-- id index holds, a mark of the list's last element, and the version at which the index was last written. The index
-- holds the same epoch and version, and the user, in its field "e".
local list, ids, state = KEYS[1], KEYS[2], KEYS[3]
local OTHER_USER, TORN = -3, -9
local NO_INDEX, IDS, KEYS_TOO, KEYS_LOST = 'n', 'i', 'k', 'x'
local EMPTY = '-'
local FULL = 9 * 10 ^ 14 -- no session comes near this position, and Lua represents more exactly

local function add(values, name, value)
  local at = #values
  values[at + 1], values[at + 2] = name, value
end

-- Returns a mark of an element: a hash of its position and of its header up to the time of the write.
local function mark_of(element)
  if not element then
    return EMPTY
  end
  local colon = string.find(element, ':', 1, true) or 0
  local size = string.byte(element, colon + 1) == 65 and 18 or 13 -- "A": base64
  return string.sub(redis.sha1hex(string.sub(element, 1, colon + size)), 1, 8)
end

