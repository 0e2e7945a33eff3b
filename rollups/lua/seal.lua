-- Seal the days of one account that nothing changed for 35 days, and forget what only a change needs.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the second up to which everything is counted: no record published before it is still to
--          come, as far as timestamps can be trusted
-- ARGV[2]  the second it is now
--
-- Of a sealed day the deltas per second go; (net, rise) and counters stay, so no report changes. A
-- later event for it is refused by apply.lua, whether the day was sealed here already or is only due.
-- Records may be published with timestamps of long ago, where a topic is copied from elsewhere; they
-- find their days open for as long as they keep coming: a day that is due is marked with its last
-- change first, and sealed when it was left alone for another day on the clock.
-- An epoch's identities and sessions go when no record that would look for them can come any more.
-- Answers how many days were sealed.

local head, complete, now = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local call = redis.call

local SEALED_AFTER = 35 * 86400
local LEFT_ALONE = 86400
local DAYS_PER_BLOCK = 32

local function is_left_alone(key, field, value) -- for a day since `value` was first seen there
  local seen, since = (call("HGET", key, field) or ""):match("^(.*) (%d+)$")
  if seen == value then return tonumber(since) + LEFT_ALONE <= now end
  call("HSET", key, field, value .. " " .. string.format("%.0f", now))
  return false
end

local sealed, blocks = {}, {}
local open = call("HGETALL", head .. ":o")
for i = 1, #open, 2 do
  if tonumber(open[i + 1]) + SEALED_AFTER <= complete
    and is_left_alone(head .. ":q", open[i], open[i + 1]) then
    local day = tonumber(open[i])
    local block = math.floor(day / DAYS_PER_BLOCK)
    sealed[#sealed + 1] = day
    blocks[block] = blocks[block] or {}
    table.insert(blocks[block], day - block * DAYS_PER_BLOCK)
  end
end
for _, day in ipairs(sealed) do
  call("UNLINK", head .. ":x:" .. day)
  call("HDEL", head .. ":o", day)
  call("HDEL", head .. ":q", day)
end
for block, places in pairs(blocks) do
  local bits = tonumber(call("HGET", head, "s:" .. block) or "0")
  for _, place in ipairs(places) do
    if math.floor(bits / 2 ^ place) % 2 == 0 then bits = bits + 2 ^ place end
  end
  call("HSET", head, "s:" .. block, bits)
end

for _, field in ipairs(call("HKEYS", head)) do
  local letter, epoch = field:match("^([iz]):(%-?%d+)n$")
  if letter and (tonumber(epoch) + 2) * SEALED_AFTER <= complete then
    local name = letter .. ":" .. epoch
    local size = call("HGET", head, name .. "#") or "0"
    if is_left_alone(head .. ":q", name, size) then
      for bucket = 0, tonumber(call("HGET", head, field)) - 1 do
        call("UNLINK", head .. ":" .. name .. ":" .. bucket)
      end
      call("HDEL", head, field, name .. "#")
      call("HDEL", head .. ":q", name)
    end
  end
end
return #sealed
