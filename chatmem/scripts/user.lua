-- The index of a user's sessions: their ids, by the time of their last write, and their deadlines.
-- KEYS: a sorted set of times; a sorted set of deadlines, for the sessions that have one. Then, where a session may be
--       marked: a hash of what is known of marked sessions, and a sorted set of their lists. Last the log of changes, if
--       the caller publishes: its entries are "time kind session", see publishing.lua.
-- ARGV: 1 "add": 2 the time in microseconds since 1970, empty for now, 3 the session's id, 4 its TTL in milliseconds,
--                empty for none, behind "+" if it may have a longer one, 5 "CH" to add it or set its time, "NX" to add it
--                unless it is there, "XX" to set its time if it is there, "TTL" to set only its TTL if it is there, 6 "1" if the session's title,
--                metadata or marks changed, 7 "=" and its marks, absent to keep those that are known here. Returns 1, or 0 if it is not there; with four keys, its marks.
--       1 "list": 2 and 3 a time and an id to go on from, empty for none, 4 how many, 5 "newest" or "oldest" first,
--                then names of lists, empty for the index; none for the index alone. Returns ids and times in turn;
--                for each of the lists, if they are named.
--       1 "count": then names of lists, empty for the index. Returns how many sessions each of them holds.
--       1 "get": 2 a session's id. Returns its time, empty if it is not there.
--       1 "drop": then for each session: a time, its id. Removes it unless its time has changed. Returns of how many
--                sessions it has seen to that, and whether there are marked sessions left, 1 or 0; with two keys, 0.
-- Times come from this server's clock, and only grow. So a reader that saw a session expire can drop it by the time
-- that it had before, and never drops one that was written since, whatever clocks the writers have.
--
-- Marks are "a" for archived, "p" for pinned, then a comma and a tag for each tag: "ap,work". An archived session is
-- not in the index. The hash holds "time:deadline:marks". The lists are one sorted set of members "name/time/id" and
-- "u/deadline/id", in which all scores are 0, so that it is in the order of the members' bytes. A list's name is "a"
-- for archived sessions or "c" for the others, then "p" for those that are pinned, then a comma and a tag for those
-- with this tag. One set, because a script must declare its keys: the call that takes an expired or erased session out
-- of all lists cannot know its tags.
local index, deadlines, marked, lists = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
marked = marked ~= log and marked or nil
local PIECE, SLICE = 5000, 1000 -- sessions
local KEPT = 86400000 -- milliseconds that the log is kept if the index has no deadline
local MEMBERS = 500 -- so many members of the lists are removed in one call; those of one session are up to 103
local MOST = 9007199254740991 -- the largest number that Lua represents exactly, of 16 digits

local function is_archived(marks)
  return string.sub(marks, 1, 1) == 'a'
end
