-- Apply one account's part of one batch, all of it or nothing.
--
-- KEYS[1]  u:{account}, the account's head; every other key is built from it (same cluster slot)
-- ARGV[1]  the part (rollups/fold.py, Part), packed with MessagePack
-- ARGV[2]  the 8-byte keys of the part's sessions, end to end
-- ARGV[3]  the session limits in seconds, by the application's index, packed likewise
--
-- Answers {0} when the part is in the rollups (now or before), else changes nothing and answers
--   {1, fence}          the fence lies within the part: fold again what lies above this offset
--   {2, epoch, id, ...} these identities were applied before: fold again without them
--
-- The order of effects does not matter to a reader: a script is one step to every other client and
-- to the append-only file.

local head = KEYS[1]
local call = redis.call
local floor = math.floor
local pack, unpack_value = cmsgpack.pack, cmsgpack.unpack

local SLOT = 900
local SLOTS_PER_DAY = 96
local DAYS_PER_BLOCK = 32
-- Buckets stay below the sizes up to which Redis keeps a set of integers (512) and a small hash
-- (128) in one packed piece; an unsplit bucket holds up to twice the mean.
local IDENTITIES_PER_BUCKET = 192
local SESSIONS_PER_BUCKET = 40
-- An epoch's identities are of use until the next epoch ends; then Redis may drop them by itself.
local IDENTITY_SECONDS = 75 * 86400
local NEVER = -549755813888 -- in a packed session: no start, or no stop (smallest 5-byte integer)
-- The series that a session of each application is part of, by index (rollups/vocabulary.py).
local SERIES_OF = {[0] = {0, 1}, {0, 2}, {3}, {4}}

local part = unpack_value(ARGV[1])
local fence_field, first, last = "f:" .. part[1], part[2], part[3]
local identities, sessions, counters, flows = part[4], part[5], part[6], part[7]

local fence = tonumber(call("HGET", head, fence_field) or "-1")
if last <= fence then return {0} end
if first <= fence then return {1, fence} end

-- Linear hashing: a table of n buckets grows by splitting one bucket at a time, so that no event
-- ever pays for what is already there. Bucket of h: h modulo the next power of two, or half of it.

local function bucket_of(h, n)
  local size = 1
  while size < n do size = size * 2 end
  local bucket = h % size
  if bucket >= n then bucket = bucket - size / 2 end
  return bucket
end

local function source_of(bucket) -- the bucket that this new one takes its share from
  local size = 1
  while size * 2 <= bucket do size = size * 2 end
  return bucket - size
end

local function id_hash(id) -- from the upper bits, which survive in Lua's doubles
  return floor((tonumber(id) + 9223372036854775808) / 8589934592)
end

local function session_hash(key) return (struct.unpack(">I4", key)) end

local function grow_identities(prefix, n, wanted)
  for bucket = n, wanted - 1 do
    local source = prefix .. source_of(bucket)
    local moved = {}
    for _, id in ipairs(call("SMEMBERS", source)) do
      if bucket_of(id_hash(id), bucket + 1) == bucket then moved[#moved + 1] = id end
    end
    if #moved > 0 then
      call("SREM", source, unpack(moved))
      call("SADD", prefix .. bucket, unpack(moved))
      call("EXPIRE", prefix .. bucket, IDENTITY_SECONDS)
    end
  end
end

local function grow_sessions(prefix, n, wanted)
  for bucket = n, wanted - 1 do
    local source = prefix .. source_of(bucket)
    local all, moved, fields = call("HGETALL", source), {}, {}
    for i = 1, #all, 2 do
      if bucket_of(session_hash(all[i]), bucket + 1) == bucket then
        fields[#fields + 1] = all[i]
        moved[#moved + 1] = all[i]
        moved[#moved + 1] = all[i + 1]
      end
    end
    if #fields > 0 then
      call("HDEL", source, unpack(fields))
      call("HSET", prefix .. bucket, unpack(moved))
    end
  end
end

-- Grow the table named by size fields of the head so that it can take `more`; answer (count, n).
local function room_for(name, more, per_bucket, prefix, grow)
  local sizes = call("HMGET", head, name .. "#", name .. "n")
  local count, n = tonumber(sizes[1] or "0"), tonumber(sizes[2] or "1")
  local wanted = math.ceil((count + more) / per_bucket)
  if wanted > n or not sizes[2] then
    wanted = math.max(wanted, 1)
    grow(prefix, n, wanted)
    call("HSET", head, name .. "n", wanted)
    n = wanted
  end
  return count, n
end

-- 1. Was any of these events applied before? Only after this is anything changed that can be seen.
--    An identity is remembered in the epoch of its record, and looked for in the two beside it, too.

local function by_bucket(ids, n)
  local buckets = {}
  for _, id in ipairs(ids) do
    local bucket = bucket_of(id_hash(id), n)
    local list = buckets[bucket]
    if list then list[#list + 1] = id else buckets[bucket] = {id} end
  end
  return buckets
end

local known = {2}

local function look_for(epoch, prefix, buckets)
  for bucket, list in pairs(buckets) do
    local answers = call("SMISMEMBER", prefix .. bucket, unpack(list))
    for i, is_member in ipairs(answers) do
      if is_member == 1 then
        known[#known + 1] = epoch
        known[#known + 1] = list[i]
      end
    end
  end
end

local places = {}
for _, entry in ipairs(identities) do
  local epoch, ids = entry[1], entry[2]
  local prefix = head .. ":i:" .. epoch .. ":"
  local count, n = room_for("i:" .. epoch, #ids, IDENTITIES_PER_BUCKET, prefix, grow_identities)
  local buckets = by_bucket(ids, n)
  if count > 0 then look_for(epoch, prefix, buckets) end
  for beside = epoch - 1, epoch + 1, 2 do
    local beside_n = tonumber(call("HGET", head, "i:" .. beside .. "n") or "0")
    if beside_n > 0 then
      look_for(epoch, head .. ":i:" .. beside .. ":", by_bucket(ids, beside_n))
    end
  end
  places[#places + 1] = {prefix, buckets, "i:" .. epoch .. "#", #ids}
end
if #known > 1 then return known end

for _, place in ipairs(places) do
  for bucket, list in pairs(place[2]) do
    call("SADD", place[1] .. bucket, unpack(list))
    call("EXPIRE", place[1] .. bucket, IDENTITY_SECONDS)
  end
  call("HINCRBY", head, place[3], place[4])
end

-- 2. Sessions: the earliest start and stop of each; what changes is a delta at four seconds at most.

local deltas = {} -- series -> slot -> second of the slot -> delta

local function add_delta(application, second, amount)
  local slot = floor(second / SLOT)
  local offset = second - slot * SLOT
  for _, series in ipairs(SERIES_OF[application]) do
    local slots = deltas[series]
    if not slots then slots = {}; deltas[series] = slots end
    local seconds = slots[slot]
    if not seconds then seconds = {}; slots[slot] = seconds end
    seconds[offset] = (seconds[offset] or 0) + amount
  end
end

local function add_presence(application, start, stop, limit, sign)
  if start == NEVER then return end
  local ends
  if stop == NEVER then ends = start + limit else ends = math.max(stop, start + 1) end
  add_delta(application, start, sign)
  add_delta(application, ends, -sign)
end

local function earliest(known_second, told)
  if not told or (known_second ~= NEVER and known_second <= told) then return known_second end
  return told
end

if #sessions > 0 then
  local limits = unpack_value(ARGV[3])
  local prefix = head .. ":z:"
  local _, n = room_for("z", #sessions, SESSIONS_PER_BUCKET, prefix, grow_sessions)
  local added = 0
  for i, told in ipairs(sessions) do
    local key, application = ARGV[2]:sub(8 * i - 7, 8 * i), told[1]
    local bucket = prefix .. bucket_of(session_hash(key), n)
    local packed = call("HGET", bucket, key)
    local start, stop = NEVER, NEVER
    if packed then start, stop = struct.unpack(">i5i5", packed) else added = added + 1 end
    local new_start, new_stop = earliest(start, told[2]), earliest(stop, told[3])
    if new_start ~= start or new_stop ~= stop then
      local limit = limits[application + 1]
      add_presence(application, start, stop, limit, -1)
      add_presence(application, new_start, new_stop, limit, 1)
      call("HSET", bucket, key, struct.pack(">i5i5", new_start, new_stop))
    end
  end
  if added > 0 then call("HINCRBY", head, "z#", added) end
end

-- 3. Every slot whose deltas changed: merge them, and sum up (net, rise) again.

local function merge_deltas(old, changes) -- answers the new packed list, net and rise
  local added = {}
  for second, amount in pairs(changes) do
    if amount ~= 0 then added[#added + 1] = second end
  end
  table.sort(added)
  local merged, size, level, rise = {}, 0, 0, nil
  local i, j, n_old, n_added = 1, 1, #old, #added
  while i <= n_old or j <= n_added do
    local second, amount
    if j > n_added or (i <= n_old and old[i] < added[j]) then
      second, amount, i = old[i], old[i + 1], i + 2
    elseif i > n_old or added[j] < old[i] then
      second, j = added[j], j + 1
      amount = changes[second]
    else
      second = added[j]
      amount, i, j = old[i + 1] + changes[second], i + 2, j + 1
    end
    if amount ~= 0 then
      if not rise and second > 0 then rise = 0 end
      level = level + amount
      if not rise or level > rise then rise = level end
      merged[size + 1], merged[size + 2] = second, amount
      size = size + 2
    end
  end
  return merged, level, rise or 0
end

local function put_summary(list, slot, net, rise, present) -- list: sorted [slot, net, rise, ...]
  local i = #list - 2
  while i >= 1 and list[i] > slot do i = i - 3 end
  if i >= 1 and list[i] == slot then
    if present then
      list[i + 1], list[i + 2] = net, rise
    else
      for _ = 1, 3 do table.remove(list, i) end
    end
  elseif present then
    table.insert(list, i + 3, rise)
    table.insert(list, i + 3, net)
    table.insert(list, i + 3, slot)
  end
end

local function add_net(key, field, amount)
  if call("HINCRBY", key, field, amount) == 0 then call("HDEL", key, field) end
end

for series, slots in pairs(deltas) do
  local days = {} -- day -> slots of this series that changed
  for slot, changes in pairs(slots) do
    local day = floor(slot / SLOTS_PER_DAY)
    if not days[day] then days[day] = {} end
    days[day][slot - day * SLOTS_PER_DAY] = changes
  end
  for day, changed in pairs(days) do
    local seconds_key, peaks_key = head .. ":x:" .. day, head .. ":p:" .. day
    local packed = call("HGET", peaks_key, series)
    local peaks = packed and unpack_value(packed) or {}
    local day_net = 0
    for slot, changes in pairs(changed) do
      local field = series .. "." .. slot
      local old = call("HGET", seconds_key, field)
      local merged, net, rise = merge_deltas(old and unpack_value(old) or {}, changes)
      if #merged > 0 then
        call("HSET", seconds_key, field, pack(merged))
      elseif old then
        call("HDEL", seconds_key, field)
      end
      put_summary(peaks, slot, net, rise, #merged > 0)
      for _, amount in pairs(changes) do day_net = day_net + amount end
    end
    if #peaks > 0 then
      call("HSET", peaks_key, series, pack(peaks))
    elseif packed then
      call("HDEL", peaks_key, series)
    end
    if day_net ~= 0 then
      local block = floor(day / DAYS_PER_BLOCK)
      add_net(head .. ":n:" .. block, series .. "." .. day, day_net)
      add_net(head .. ":n", series .. "." .. block, day_net)
    end
  end
end

-- 4. Counters: per slot, and per UTC day.

local function bump(list, slot, amount) -- list: sorted [slot, amount, ...]
  local i = #list - 1
  while i >= 1 and list[i] > slot do i = i - 2 end
  if i >= 1 and list[i] == slot then
    list[i + 1] = list[i + 1] + amount
  else
    table.insert(list, i + 2, amount)
    table.insert(list, i + 2, slot)
  end
end

local function count(entries, slots_letter, days_letter)
  for _, entry in ipairs(entries) do
    local day, metrics = entry[1], entry[2]
    local slots_key = head .. slots_letter .. day
    local days_key = head .. days_letter .. floor(day / DAYS_PER_BLOCK)
    for _, growth in ipairs(metrics) do
      local metric, total = growth[1], 0
      local packed = call("HGET", slots_key, metric)
      local list = packed and unpack_value(packed) or {}
      for _, step in ipairs(growth[2]) do
        bump(list, step[1], step[2])
        total = total + step[2]
      end
      call("HSET", slots_key, metric, pack(list))
      call("HINCRBY", days_key, day .. "." .. metric, total)
    end
  end
end

count(counters, ":s:", ":c:")
count(flows, ":t:", ":g:")

-- 5. The fence, so that none of this is ever applied again.

call("HSET", head, fence_field, last)
return {0}
