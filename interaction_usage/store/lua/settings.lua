-- Apply a record of the topic of accounts to an account's settings and their history, at once.
--
-- KEYS[1]  the account's settings
-- KEYS[2]  its history, a stream
-- ARGV[1]  the record's place, which names the topic
-- ARGV[2]  its offset
-- ARGV[3]  "change" or "import"
--
-- Of a change follow
-- ARGV[4]  when it was made, in milliseconds
-- ARGV[5]  who made it
-- ARGV[6]  the id of their token, or nothing
-- ARGV[7]  "1" for an operator, or nothing
-- ARGV[8]  and so on: field, value, and the value that an account has where the field was never set
--
-- Of an import, which is all that was there before the topic, follow
-- ARGV[4]  how many settings there are
-- ARGV[5]  and so on: field, value of each; then id, by, token, operator, field, from, to of each
--          change in the history
--
-- The settings have the place and offset of the last record that was applied: earlier ones are
-- skipped. The first of a topic replaces whatever is there, for the topic has all of it; an import
-- is only ever the first. So the result follows from the topic alone, old values and ids of changes
-- included: an id is the time, or follows the last one where the time does not.

local settings, history, place, offset, kind = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

local function next_id(milliseconds)
  local newest = call("XREVRANGE", history, "+", "-", "COUNT", 1)[1]
  if newest then
    local last, number = string.match(newest[1], "^(%d+)-(%d+)$")
    if tonumber(last) >= tonumber(milliseconds) then
      return last .. "-" .. string.format("%.0f", tonumber(number) + 1)
    end
  end
  return milliseconds .. "-0"
end

local function change()
  for i = 8, #ARGV, 3 do
    local field, value, default = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local before = call("HGET", settings, field) or default
    call("HSET", settings, field, value)
    if before ~= value then
      call("XADD", history, next_id(ARGV[4]), "by", ARGV[5], "token", ARGV[6], "operator", ARGV[7],
           "field", field, "from", before, "to", value)
    end
  end
end

local function import()
  local after = 4 + 2 * tonumber(ARGV[4])
  for i = 5, after, 2 do
    call("HSET", settings, ARGV[i], ARGV[i + 1])
  end
  for i = after + 1, #ARGV, 7 do
    call("XADD", history, ARGV[i], "by", ARGV[i + 1], "token", ARGV[i + 2], "operator", ARGV[i + 3],
         "field", ARGV[i + 4], "from", ARGV[i + 5], "to", ARGV[i + 6])
  end
end

local known, last = string.match(call("HGET", settings, "at") or "", "^(.*) (%d+)$")
if known == place and tonumber(last) >= tonumber(offset) then
  return 0
end
if known ~= place then
  call("DEL", settings, history)
end
call("HSET", settings, "set", "1", "at", place .. " " .. offset) -- so that it exists
if kind == "change" then
  change()
elseif known ~= place then
  import()
end
return 1
