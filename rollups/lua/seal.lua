-- Seal days of one account and block: what is kept of them goes into the block's one string, and
-- what only a change would need goes.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block
-- ARGV[2]  SHA-1 of the block's string as due.lua told it; empty where there was none
-- ARGV[3]  the block's new string, the days in it
-- ARGV[4], ARGV[5], ...  a day, and the SHA-1 of its fields and values end to end as told
--
-- Changes nothing and answers 0 where anything is not as it was told; else answers 1.
-- No report changes. A later event for a sealed day is refused by apply.lua.

local head, block = KEYS[1], ARGV[1]
local call = redis.call

local DAYS_PER_BLOCK = 32

local string_key = head .. ":k:" .. block
local known = call("GET", string_key)
if (known and redis.sha1hex(known) or "") ~= ARGV[2] then return 0 end
for i = 4, #ARGV, 2 do
  local fields = call("HGETALL", head .. ":d:" .. ARGV[i])
  if redis.sha1hex(table.concat(fields)) ~= ARGV[i + 1] then return 0 end
end

local open = tonumber(call("HGET", head, "o:" .. block) or "0")
local sealed = tonumber(call("HGET", head, "s:" .. block) or "0")
for i = 4, #ARGV, 2 do
  call("UNLINK", head .. ":d:" .. ARGV[i], head .. ":x:" .. ARGV[i])
  call("HDEL", head .. ":q", ARGV[i])
  local bit = 2 ^ (tonumber(ARGV[i]) - tonumber(block) * DAYS_PER_BLOCK)
  if math.floor(open / bit) % 2 == 1 then open = open - bit end
  if math.floor(sealed / bit) % 2 == 0 then sealed = sealed + bit end
end
call("SET", string_key, ARGV[3])
call("HSET", head, "s:" .. block, string.format("%.0f", sealed))
if open > 0 then
  call("HSET", head, "o:" .. block, string.format("%.0f", open))
else
  call("HDEL", head, "o:" .. block)
end
return 1
