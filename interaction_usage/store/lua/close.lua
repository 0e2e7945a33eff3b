-- Close the days of one block that are due for sealing: from here on events for them are refused,
-- so that what is kept of them can be read and packed at leisure (seal.lua).
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block
-- ARGV[2]  a second on the clock: days that nothing changed since it, or before, are due
-- ARGV[3]  how many days to close at most
--
-- Answers {version, day, ...}: the version of the block's string, and the days that are closed and
-- not sealed yet, those that were closed before and never sealed among them; {} for none.

local head, block, upto, room = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

local DAYS_PER_BLOCK = 32

local told = call("HMGET", head, "o:" .. block, "s:" .. block, "k:" .. block)
local open, sealed = tonumber(told[1] or "0"), tonumber(told[2] or "0")
local before = sealed
local answer = {tonumber(told[3] or "0")}
for place = 0, DAYS_PER_BLOCK - 1 do
  if #answer > room then break end
  if math.floor(open / 2 ^ place) % 2 == 1 then
    local day = tonumber(block) * DAYS_PER_BLOCK + place
    local closed = math.floor(sealed / 2 ^ place) % 2 == 1
    if not closed then
      local last = call("HGET", head .. ":d:" .. string.format("%.0f", day), "t")
      closed = not last or tonumber(last) <= upto
      if closed then sealed = sealed + 2 ^ place end
    end
    if closed then answer[#answer + 1] = day end
  end
end
if sealed > before then call("HSET", head, "s:" .. block, string.format("%.0f", sealed)) end
return #answer > 1 and answer or {}
