-- Shared by scripts: the server's time. A script runs at one moment, so it asks for the time once.
local clock
local function now_is()
  clock = clock or redis.call('TIME')
  return clock
end

local function milliseconds_now()
  local time = now_is()
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function microseconds_now()
  local time = now_is()
  return time[1] .. string.sub('000000' .. time[2], -6)
end
