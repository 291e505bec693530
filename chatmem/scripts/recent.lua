-- Before the scripts that write: the calls they remember, since a client or a proxy that got no reply sends a call again.
-- A token is "writer:number:floor": a process, the number of its call, and the lowest number that it has under way here.
-- What its writer has under way is remembered with what it did. What arrives under a lower number than the writer's last
-- floor comes late: nobody waits for it, and it is refused. Of a writer that is silent all is forgotten in time.
local LATE = -10
local REMEMBER_FOR, ROOM = 1800, 16384 -- seconds, bytes
local ERA = 1700000000 -- seconds since 1970, so that times are short
local CALL = '(;([^:;]+):(%x+):(%x+):(%x+):([^;]*))' -- writer, number, number minus floor, time, what it did

-- Returns what a call did, where it was done before; else nothing, and true where it comes too late.
local function recall(recent, token)
  local writer, number = string.match(token, '^([^:]+):(%x+):')
  local late = false
  for _, who, at, back, _, text in string.gmatch(recent, CALL) do
    if who == writer and at == number then
      return text
    elseif who == writer then
      late = late or tonumber(number, 16) < tonumber(at, 16) - tonumber(back, 16)
    end
  end
  return nil, late
end

-- Returns what is to be remembered after a call.
local function remember(recent, token, text)
  local writer, number, floor = string.match(token, '^([^:]+):(%x+):(%x+)$')
  number, floor = tonumber(number, 16), tonumber(floor, 16)
  local now = now_is()[1] - ERA
  local calls = {string.format(';%s:%x:%x:%x:%s', writer, number, number - floor, now, text)}
  local size = 0
  for call, who, at, _, time in string.gmatch(recent, CALL) do
    local over = who == writer and tonumber(at, 16) < floor or tonumber(time, 16) + REMEMBER_FOR < now
    size = size + #call
    if not over and size < ROOM then
      calls[#calls + 1] = call
    end
  end
  return table.concat(calls)
end
