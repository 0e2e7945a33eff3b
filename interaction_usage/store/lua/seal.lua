-- Seal closed days of one block: what is kept of them goes into the block's one string, and what
-- only a change would need goes.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block
-- ARGV[2]  the version of the block's string that the new one was made from (close.lua)
-- ARGV[3]  the block's new string, the days in it
-- ARGV[4], ARGV[5], ...  the days
--
-- Changes nothing and answers 0 where another worker has sealed days of the block since; else
-- answers 1. No report changes. What was remembered for these days, `forget.lua` drops.

local head, block = KEYS[1], ARGV[1]
local call = redis.call

local DAYS_PER_BLOCK = 32

local told = call("HMGET", head, "k:" .. block, "o:" .. block)
if tonumber(told[1] or "0") ~= tonumber(ARGV[2]) then return 0 end
local open = tonumber(told[2] or "0")
for i = 4, #ARGV do
  call("UNLINK", head .. ":d:" .. ARGV[i], head .. ":x:" .. ARGV[i])
  local bit = 2 ^ (tonumber(ARGV[i]) - tonumber(block) * DAYS_PER_BLOCK)
  if math.floor(open / bit) % 2 == 1 then open = open - bit end
end
call("SET", head .. ":k:" .. block, ARGV[3])
call("HSET", head, "k:" .. block, tonumber(ARGV[2]) + 1, "zs", 0)
if open > 0 then
  call("HSET", head, "o:" .. block, string.format("%.0f", open))
else
  call("HDEL", head, "o:" .. block)
end
return 1
