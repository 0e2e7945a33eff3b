-- Forget some of what only sealed days of an account would need: identities of a block of which no
-- day is open any more, or sessions that reach into no open day.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block whose identities go; empty to look through sessions
-- ARGV[2]  the session limits in seconds, packed with MessagePack
-- ARGV[3]  how many buckets to look at or drop at most
--
-- Answers 1 if there is more of it to do, else 0. Each call is one step: the table is right after
-- any of them, also for events that come in between.

local head, block, room = KEYS[1], ARGV[1], tonumber(ARGV[3])
local call = redis.call
local floor, ceil, max = math.floor, math.ceil, math.max

local DAY = 86400
local DAYS_PER_BLOCK = 32
local IDENTITIES_PER_BUCKET, SESSIONS_PER_BUCKET = 192, 40 -- as in apply.lua
local NEVER = -549755813888

if block ~= "" then
  -- From the last bucket down: a table of fewer buckets is what is left then.
  local field = "i:" .. block
  local told = call("HMGET", head, field, "o:" .. block)
  local count = tonumber(told[1] or nil)
  if not count or told[2] then return 0 end
  local n = max(ceil(count / IDENTITIES_PER_BUCKET), 1)
  local left = max(n - room, 0)
  for bucket = left, n - 1 do call("UNLINK", head .. ":" .. field .. ":" .. bucket) end
  if left == 0 then
    call("HDEL", head, field)
    return 0
  end
  call("HSET", head, field, left * IDENTITIES_PER_BUCKET)
  return 1
end

local told = call("HMGET", head, "zs", "z", "zb")
local from, count, n = tonumber(told[1] or nil), tonumber(told[2] or "0"), tonumber(told[3] or "1")
if not from then return 0 end

local open_of = {} -- block -> bits of the days that are open and not closed
local function is_open(second)
  local day = floor(second / DAY)
  local block = floor(day / DAYS_PER_BLOCK)
  local places = open_of[block]
  if not places then
    local bits = call("HMGET", head, "o:" .. block, "s:" .. block)
    local open, sealed = tonumber(bits[1] or "0"), tonumber(bits[2] or "0")
    places = {}
    for place = 0, DAYS_PER_BLOCK - 1 do
      local bit = 2 ^ place
      places[place] = floor(open / bit) % 2 == 1 and floor(sealed / bit) % 2 == 0
    end
    open_of[block] = places
  end
  return places[day - block * DAYS_PER_BLOCK]
end

local limits = cmsgpack.unpack(ARGV[2])

local function is_needed(start, stop)
  if start ~= NEVER and is_open(start) then return true end
  if stop ~= NEVER then return is_open(stop) or is_open(stop - 1) end
  for i = 1, #limits do -- of which application it is, its key does not say
    if is_open(start + limits[i]) then return true end
  end
  return false
end

local upto = max(math.min(from + room, n), from)
for bucket = from, upto - 1 do
  local key = head .. ":z:" .. bucket
  local all, gone = call("HGETALL", key), {}
  for i = 1, #all, 2 do
    if not is_needed(struct.unpack(">i5i5", all[i + 1])) then gone[#gone + 1] = all[i] end
  end
  if #gone > 0 then
    call("HDEL", key, unpack(gone))
    count = count - #gone
  end
end

-- Fewer sessions need fewer buckets: the last is put back into the one that it was split from. Not
-- before all were looked through, or some would come into one that was.
local wanted = max(ceil(count / SESSIONS_PER_BUCKET), 1)
if upto >= n then
  for _ = 1, room do
    if n <= wanted then break end
    n = n - 1
    local size = 1
    while size < n + 1 do size = size * 2 end
    local all = call("HGETALL", head .. ":z:" .. n)
    if #all > 0 then
      call("HSET", head .. ":z:" .. (n - size / 2), unpack(all))
      call("UNLINK", head .. ":z:" .. n)
    end
  end
end

if count == 0 then -- and so is every bucket
  call("HDEL", head, "z", "zb", "zs")
  return 0
end
local more = upto < n or n > wanted
call("HSET", head, "z", count, "zb", n)
if more then call("HSET", head, "zs", upto) else call("HDEL", head, "zs") end
return more and 1 or 0
