-- Seal closed days of one block: they are kept in the block's one string from here on, and what only
-- a change would need is dropped.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block
-- ARGV[2]  the version of the block's string that the new one was built from (close.lua)
-- ARGV[3]  the block's new string, which contains the days
-- ARGV[4], ARGV[5], ...  the days
--
-- Changes nothing and answers 0 if another worker has sealed days of the block since; else answers 1.
-- No report changes. What was remembered for these days is dropped by forget.lua.

local head, block = KEYS[1], ARGV[1]
local call = redis.call

local fields = call("HMGET", head, sealed_version_field(block), open_days_field(block))
if tonumber(fields[1] or "0") ~= tonumber(ARGV[2]) then return 0 end
local open = tonumber(fields[2] or "0")
for i = 4, #ARGV do
  call("UNLINK", day_key(head, ARGV[i]), slot_deltas_key(head, ARGV[i]))
  local bit = 2 ^ (tonumber(ARGV[i]) - tonumber(block) * DAYS_PER_BLOCK)
  if math.floor(open / bit) % 2 == 1 then open = open - bit end
end
call("SET", sealed_days_key(head, block), ARGV[3])
call("HSET", head, sealed_version_field(block), tonumber(ARGV[2]) + 1, SESSION_SCAN, 0)
if open > 0 then
  call("HSET", head, open_days_field(block), string.format("%.0f", open))
else
  call("HDEL", head, open_days_field(block))
end
return 1
