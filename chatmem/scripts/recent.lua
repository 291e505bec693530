-- Shared by scripts that write: recent calls and their results. A client or a proxy that gets no reply repeats a call,
-- and the repeat must not write again.
-- A token is "writer:number:back": a process, the number of the call, and how far back the oldest of the process' calls to
-- this session is that are still in flight: the floor is that call's number. The server remembers the results of calls
-- from the floor on. A call with a number below its writer's last floor comes late: its caller has given it up, so it is
-- refused. After REMEMBER_FOR seconds of silence a writer is forgotten.
local LATE = -10
local REMEMBER_FOR, ROOM = 1800, 16384 -- seconds, bytes
local ERA = 1700000000 -- seconds since 1970, so that times are short
local CALL = '(;([^:;]+):(%x+):(%x+):(%x+):([^;]*))' -- writer, number, how far back, time, result

-- Returns the result of the call if it was done before. Otherwise returns nil, whether it comes late, and the recent
-- calls to keep.
local function recall(recent, token)
  if recent == '' then
    return nil, false, ''
  end
  local writer, number, open = string.match(token, '^([^:]+):(%x+):(%x+)$')
  number = tonumber(number, 16)
  local floor = number - tonumber(open, 16)
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

-- Returns the record of recent calls with this one in front of those that `recall` kept.
local function remember(kept, token, text)
  return ';' .. token .. string.format(':%x:', now_is()[1] - ERA) .. text .. kept
end
