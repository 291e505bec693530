-- Shared by scripts: how numbers are written.
local function written(number)
  return string.format(number < 2147483648 and '%d' or '%.0f', number) -- "%d" is faster, of 32 bits on some machines
end
