-- Tell which days of one account are due for sealing, with all that is kept of them, and forget the
-- identities and sessions that nobody can ask for any more.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the second up to which everything is counted: no record published before it is still to
--          come, as far as timestamps can be trusted
-- ARGV[2]  the second it is now
-- ARGV[3]  how many days to tell of at most
--
-- A day is due when its newest record is 35 days older than what is counted. Records may be
-- published with timestamps of long ago, where a topic is copied from elsewhere; they find their
-- days open for as long as they keep coming: a day that is due is marked with its last change
-- first, and told of when it was left alone for another day on the clock.
-- Answers {block, sealed days of that block (a string, or false), {day, fields, day, fields, ...}}
-- of one block of days, or {} where nothing is due.

local head, complete, now = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local call = redis.call

local SEALED_AFTER = 35 * 86400
local LEFT_ALONE = 86400
local DAYS_PER_BLOCK = 32

local function is_left_alone(field, value) -- for a day since `value` was first seen there
  local key = head .. ":q"
  local seen, since = (call("HGET", key, field) or ""):match("^(.*) (%d+)$")
  if seen == value then return tonumber(since) + LEFT_ALONE <= now end
  call("HSET", key, field, value .. " " .. string.format("%.0f", now))
  return false
end

local answer
local fields = call("HGETALL", head)
for i = 1, #fields, 2 do
  local block = fields[i]:match("^o:(%-?%d+)$")
  if block then
    local bits = tonumber(fields[i + 1])
    for place = 0, DAYS_PER_BLOCK - 1 do
      if math.floor(bits / 2 ^ place) % 2 == 1 then
        local day = tonumber(block) * DAYS_PER_BLOCK + place
        local key = head .. ":d:" .. string.format("%.0f", day)
        local last = call("HGET", key, "t")
        if last and tonumber(last) + SEALED_AFTER <= complete
          and is_left_alone(string.format("%.0f", day), last)
          and (not answer or answer[1] == block) then
          answer = answer or {block, call("GET", head .. ":k:" .. block), {}}
          local days = answer[3]
          if #days < 2 * tonumber(ARGV[3]) then
            days[#days + 1] = day
            days[#days + 1] = call("HGETALL", key)
          end
        end
      end
    end
  end
end

for i = 1, #fields, 2 do
  local letter, epoch = fields[i]:match("^([iz]):(%-?%d+)$")
  if letter and (tonumber(epoch) + 2) * SEALED_AFTER <= complete
    and is_left_alone(fields[i], fields[i + 1]) then
    local per_bucket = letter == "i" and 192 or 40 -- as in apply.lua
    for bucket = 0, math.max(math.ceil(tonumber(fields[i + 1]) / per_bucket), 1) - 1 do
      call("UNLINK", head .. ":" .. fields[i] .. ":" .. bucket)
    end
    call("HDEL", head, fields[i])
    call("HDEL", head .. ":q", fields[i])
  end
end
return answer or {}
