-- Close the days of one block that are due for sealing: from here on events for them are rejected,
-- so that they can be read and packed in several steps (seal.lua).
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block
-- ARGV[2]  a second on the clock: days whose last change was at or before it are due
-- ARGV[3]  how many days to close at most
--
-- Answers {version, day, ...}: the version of the block's string, and the days that are closed and
-- not sealed yet, including those that an earlier call closed; {} for none.

local head, block, upto, room = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

local fields =
  call("HMGET", head, open_days_field(block), sealed_days_field(block), sealed_version_field(block))
local open, sealed = tonumber(fields[1] or "0"), tonumber(fields[2] or "0")
local before = sealed
local answer = {tonumber(fields[3] or "0")}
for place = 0, DAYS_PER_BLOCK - 1 do
  if #answer > room then break end
  if math.floor(open / 2 ^ place) % 2 == 1 then
    local day = tonumber(block) * DAYS_PER_BLOCK + place
    local closed = math.floor(sealed / 2 ^ place) % 2 == 1
    if not closed then
      local last = call("HGET", day_key(head, day), LAST_CHANGE)
      closed = not last or tonumber(last) <= upto
      if closed then sealed = sealed + 2 ^ place end
    end
    if closed then answer[#answer + 1] = day end
  end
end
if sealed > before then call("HSET", head, sealed_days_field(block), string.format("%.0f", sealed)) end
return #answer > 1 and answer or {}
