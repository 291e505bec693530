-- Restarts a session's time to live.
-- KEYS: list, ids, state. ARGV[1]: the time to live in milliseconds, empty for none.
-- Returns 1 where the session exists, else 0.
if redis.call('EXISTS', KEYS[1], KEYS[3]) == 0 then
  return 0
end
if ARGV[1] ~= '' then
  set_deadline(tonumber(ARGV[1]), false)
end
return 1
