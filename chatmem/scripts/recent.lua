-- Before the scripts that write: the calls they remember, since a client or a proxy that got no reply sends a call again.
-- A token is "writer:number:floor": a process, the number of its call, and the lowest number that it has under way here.
-- What its writer has under way is remembered with what it did. What arrives under a lower number than the writer's last
-- floor comes late: nobody waits for it, and it is refused. Of a writer that is silent all is forgotten in time.
local LATE = -10
local REMEMBER_FOR, ROOM = 1800, 16384 -- seconds, bytes
local ERA = 1700000000 -- seconds since 1970, so that times are short
local CALL = '(;([^:;]+):(%x+):(%x+):(%x+):([^;]*))' -- writer, number, number minus floor, time, what it did

-- Returns what a call did, where it was done before; else nothing, true where it comes too late, and those of the others
-- that are to be remembered on.
local function recall(recent, token)
  local writer, number, floor = string.match(token, '^([^:]+):(%x+):(%x+)$')
  number, floor = tonumber(number, 16), tonumber(floor, 16)
  local oldest, kept, late = now_is()[1] - ERA - REMEMBER_FOR, '', false
  for call, who, at, back, time, text in string.gmatch(recent, CALL) do
    local mine = who == writer and tonumber(at, 16)
    if mine == number then
      return text
    elseif mine then
      late = late or number < mine - tonumber(back, 16)
    end
    if not (mine and mine < floor) and tonumber(time, 16) >= oldest and #kept < ROOM then
      kept = kept .. call
    end
  end
  return nil, late, kept
end

-- Returns what is to be remembered after a call: what it did, and what `recall` said of the others.
local function remember(kept, token, text)
  local writer, number, floor = string.match(token, '^([^:]+):(%x+):(%x+)$')
  return string.format(';%s:%s:%x:%x:%s', writer, number, tonumber(number, 16) - tonumber(floor, 16), now_is()[1] - ERA,
    text) .. kept
end
