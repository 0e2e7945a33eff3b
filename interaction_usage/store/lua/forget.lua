-- Drop some of what only sealed days of an account would need: identities of a block without an open
-- day, or sessions that reach into no open day.
--
-- KEYS[1]  the account's head
-- ARGV[1]  the block whose identities are dropped; empty to look through sessions
-- ARGV[2]  the session limits in seconds, packed with MessagePack
-- ARGV[3]  how many buckets to look at or drop at most
--
-- Answers 1 if there is more to do, else 0. Each call is one step: the tables are consistent after
-- each of them, also for events that arrive in between.

local head, block, room = KEYS[1], ARGV[1], tonumber(ARGV[3])
local call = redis.call
local floor, ceil, max = math.floor, math.ceil, math.max

if block ~= "" then
  -- From the last bucket down, which leaves a table of fewer buckets.
  local field = identity_count_field(block)
  local counts = call("HMGET", head, field, open_days_field(block))
  local count = tonumber(counts[1] or nil)
  if not count or counts[2] then return 0 end
  local n = max(ceil(count / IDENTITIES_PER_BUCKET), 1)
  local left, prefix = max(n - room, 0), identities_prefix(head, block)
  for bucket = left, n - 1 do call("UNLINK", prefix .. bucket) end
  if left == 0 then
    call("HDEL", head, field)
    call("UNLINK", voids_key(head, block)) -- of events that are there; pending voids stay listed
    return 0
  end
  call("HSET", head, field, left * IDENTITIES_PER_BUCKET)
  return 1
end

local counts = call("HMGET", head, SESSION_SCAN, SESSION_COUNT, SESSION_BUCKETS)
local from, count = tonumber(counts[1] or nil), tonumber(counts[2] or "0")
local n = tonumber(counts[3] or "1")
if not from then return 0 end

local open_of = {} -- block -> bits of the days that are open and not closed
local function is_open(second)
  local day = floor(second / DAY_SECONDS)
  local block = floor(day / DAYS_PER_BLOCK)
  local places = open_of[block]
  if not places then
    local bits = call("HMGET", head, open_days_field(block), sealed_days_field(block))
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
  if start ~= UNKNOWN_SECOND and is_open(start) then return true end
  if stop ~= UNKNOWN_SECOND then return is_open(stop) or is_open(stop - 1) end
  if start == UNKNOWN_SECOND then return false end
  for i = 1, #limits do -- its key does not say which application a session is of
    if is_open(start + limits[i]) then return true end
  end
  return false
end

local function is_record_needed(record)
  if is_needed(struct.unpack(SESSION_FORMAT, record)) then return true end
  if #record == SESSION_BYTES then return false end
  local time, _, start, _, stop, micros = struct.unpack(CORRECTION_FORMAT, record, SESSION_BYTES + 1)
  if stop ~= UNKNOWN_SECOND and micros > 0 then stop = stop + 1 end
  return is_open(time) or start ~= UNKNOWN_SECOND and is_needed(start, stop)
end

local prefix = sessions_prefix(head)
local upto = max(math.min(from + room, n), from)
for bucket = from, upto - 1 do
  local key = prefix .. bucket
  local all, gone = call("HGETALL", key), {}
  for i = 1, #all, 2 do
    if not is_record_needed(all[i + 1]) then gone[#gone + 1] = all[i] end
  end
  if #gone > 0 then
    call("HDEL", key, unpack(gone))
    count = count - #gone
  end
end

-- Fewer sessions need fewer buckets: the last one is merged into the one that it was split from. Not
-- before all were looked through, or some would move into one that already was.
local wanted = max(ceil(count / SESSIONS_PER_BUCKET), 1)
if upto >= n then
  for _ = 1, room do
    if n <= wanted then break end
    n = n - 1
    local size = 1
    while size < n + 1 do size = size * 2 end
    local all = call("HGETALL", prefix .. n)
    if #all > 0 then
      call("HSET", prefix .. (n - size / 2), unpack(all))
      call("UNLINK", prefix .. n)
    end
  end
end

if count == 0 then -- and every bucket is empty
  call("HDEL", head, SESSION_COUNT, SESSION_BUCKETS, SESSION_SCAN)
  return 0
end
local more = upto < n or n > wanted
call("HSET", head, SESSION_COUNT, count, SESSION_BUCKETS, n)
if more then call("HSET", head, SESSION_SCAN, upto) else call("HDEL", head, SESSION_SCAN) end
return more and 1 or 0
