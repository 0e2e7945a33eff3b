-- Apply one account's part of one batch, all of it or nothing.
--
-- KEYS[1]  the account's head; every other key is built from it (same cluster slot)
-- ARGV[1]  the part (rollups/fold.py, Part), packed with MessagePack
-- ARGV[2]  the 8-byte keys of the part's sessions, end to end
-- ARGV[3]  the session limits in seconds, by the application's index, packed likewise
-- ARGV[4]  "ask" to learn the answer and change nothing
--
-- Answers {0} when the part is in the rollups (now or before), else changes nothing and answers
--   {1, fence}          the fence lies within the part: fold again what lies above this offset
--   {2, epoch, id, ...} these identities were applied before: fold again without them
--   {3, day, since}     this UTC day is sealed for an event of the part, from the second `since` on.
--                       Certain for a part of one event; of several, each must be asked for itself
--
-- The order of effects does not matter to a reader: a script is one step to every other client and
-- to the append-only file. Commands are what costs here, so fields of one key are asked for, and
-- set, together.

local head = KEYS[1]
local call = redis.call
local floor = math.floor
local pack, unpack_value = cmsgpack.pack, cmsgpack.unpack

local SLOT = 900
local SLOTS_PER_DAY = 96
local DAYS_PER_BLOCK = 32
local SEALED_AFTER = 35 * 86400
local AT_ONCE = 2000 -- fields in one command; Lua hands over 8,000 values at most
-- Buckets stay below the sizes up to which Redis keeps a set of integers (512) and a small hash
-- (128) in one packed piece; an unsplit bucket holds up to twice the mean.
local IDENTITIES_PER_BUCKET = 192
local SESSIONS_PER_BUCKET = 40
local NEVER = -549755813888 -- in a packed session: no start, or no stop (smallest 5-byte integer)
-- The series that a session of each application is part of, by index (rollups/vocabulary.py).
local SERIES_OF = {[0] = {0, 1}, {0, 2}, {3}, {4}}

local part = unpack_value(ARGV[1])
local fence_field, first, last, recorded = "f:" .. part[1], part[2], part[3], part[4]
local days, identities, sessions = part[5], part[6], part[7]
local counters, flows = part[8], part[9]

-- What the head says, asked for in one command: the fence, and the sizes of the tables of each
-- epoch of the part and the epochs beside it.

local kept = {}
do
  local fields, wanted = {fence_field}, {}
  for _, entry in ipairs(identities) do
    for epoch = entry[1] - 1, entry[1] + 1 do wanted[epoch] = true end
  end
  for epoch in pairs(wanted) do
    for _, field in ipairs({"i:" .. epoch .. "#", "i:" .. epoch .. "n",
                            "z:" .. epoch .. "#", "z:" .. epoch .. "n"}) do
      fields[#fields + 1] = field
    end
  end
  for i, value in ipairs(call("HMGET", head, unpack(fields))) do
    kept[fields[i]] = tonumber(value or nil)
  end
end

local fence = kept[fence_field] or -1
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

local head_changes = {} -- field, value, field, value, ... set at the end, or when a table grew

-- Grow the table named by size fields of the head so that it can take `more`; answer (count, n).
local function room_for(name, more, per_bucket, grow)
  local count, n = kept[name .. "#"] or 0, kept[name .. "n"]
  local wanted = math.max(math.ceil((count + more) / per_bucket), 1)
  if not n or wanted > n then
    if count > 0 then grow(head .. ":" .. name .. ":", n, wanted) end
    call("HSET", head, name .. "n", wanted) -- at once: what moved must be found there
    n = wanted
    kept[name .. "n"] = n
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
  local count, n = room_for("i:" .. epoch, #ids, IDENTITIES_PER_BUCKET, grow_identities)
  local buckets = by_bucket(ids, n)
  if count > 0 then look_for(epoch, prefix, buckets) end
  for beside = epoch - 1, epoch + 1, 2 do
    if (kept["i:" .. beside .. "#"] or 0) > 0 then
      local beside_n = kept["i:" .. beside .. "n"]
      look_for(epoch, head .. ":i:" .. beside .. ":", by_bucket(ids, beside_n))
    end
  end
  places[#places + 1] = {prefix, buckets}
  head_changes[#head_changes + 1] = "i:" .. epoch .. "#"
  head_changes[#head_changes + 1] = count + #ids
end
if #known > 1 then return known end

-- 2. Sessions: the earliest start and stop of each; what changes is a delta at four seconds at most.
--    Like an identity, a session is looked for in the epoch of its record and those beside it.

local deltas = {} -- UTC day -> series -> slot of the day -> second of the slot -> delta

local function nest(outer, key)
  local inner = outer[key]
  if not inner then inner = {}; outer[key] = inner end
  return inner
end

local function add_delta(application, second, amount)
  local slot = floor(second / SLOT)
  local day = floor(slot / SLOTS_PER_DAY)
  local offset = second - slot * SLOT
  for _, series in ipairs(SERIES_OF[application]) do
    local seconds = nest(nest(nest(deltas, day), series), slot - day * SLOTS_PER_DAY)
    seconds[offset] = (seconds[offset] or 0) + amount
  end
end

local function end_of(start, stop, limit)
  if start == NEVER then return NEVER end
  if stop == NEVER then return start + limit end
  return math.max(stop, start + 1)
end

local function move(application, from, to, amount)
  if from == to then return end
  if from ~= NEVER then add_delta(application, from, -amount) end
  if to ~= NEVER then add_delta(application, to, amount) end
end

local function earliest(known_second, told)
  if not told or (known_second ~= NEVER and known_second <= told) then return known_second end
  return told
end

local session_changes = {} -- bucket -> {key, packed, key, packed, ...}

if #sessions > 0 then
  local limits = unpack_value(ARGV[3])
  local new, seen = {}, {} -- epoch -> sessions told of for the first time; what this part changed
  for _, told in ipairs(sessions) do new[told[4]] = (new[told[4]] or 0) + 1 end
  for epoch, more in pairs(new) do
    room_for("z:" .. epoch, more, SESSIONS_PER_BUCKET, grow_sessions)
    new[epoch] = 0
  end
  local function find(key, epoch) -- answers the bucket and what it holds of the session
    local name = "z:" .. epoch
    if not kept[name .. "n"] then return nil, nil end
    local bucket = head .. ":" .. name .. ":" .. bucket_of(session_hash(key), kept[name .. "n"])
    local found = seen[bucket .. key]
    if not found and (kept[name .. "#"] or 0) > 0 then found = call("HGET", bucket, key) end
    return bucket, found
  end
  for i, told in ipairs(sessions) do
    local key, application, epoch = ARGV[2]:sub(8 * i - 7, 8 * i), told[1], told[4]
    local bucket, packed = find(key, epoch)
    for beside = epoch - 1, epoch + 1, 2 do
      if not packed then
        local its_bucket, its_packed = find(key, beside)
        if its_packed then bucket, packed = its_bucket, its_packed end
      end
    end
    local start, stop = NEVER, NEVER
    if packed then start, stop = struct.unpack(">i5i5", packed) else new[epoch] = new[epoch] + 1 end
    local new_start, new_stop = earliest(start, told[2]), earliest(stop, told[3])
    if new_start ~= start or new_stop ~= stop then
      local limit = limits[application + 1]
      move(application, start, new_start, 1)
      move(application, end_of(start, stop, limit), end_of(new_start, new_stop, limit), -1)
      local changed = struct.pack(">i5i5", new_start, new_stop)
      local list = nest(session_changes, bucket)
      list[#list + 1] = key
      list[#list + 1] = changed
      seen[bucket .. key] = changed
    end
  end
  for epoch, added in pairs(new) do
    if added > 0 then
      head_changes[#head_changes + 1] = "z:" .. epoch .. "#"
      head_changes[#head_changes + 1] = (kept["z:" .. epoch .. "#"] or 0) + added
    end
  end
end

-- 3. Is a day that an event touches, or whose deltas would change, sealed at its record's second?

local function is_sealed(day) -- and everything dropped that only a change would need
  local block = floor(day / DAYS_PER_BLOCK)
  local sealed = tonumber(call("HGET", head, "s:" .. block) or "0")
  return floor(sealed / 2 ^ (day - block * DAYS_PER_BLOCK)) % 2 == 1
end

local touched = {} -- day, last second, ...: what the hash of open days learns
do
  local seconds, names, lasts = {}, {}, {}
  for _, entry in ipairs(days) do
    seconds[entry[1]] = entry[2]
    names[#names + 1] = entry[1]
  end
  for day in pairs(deltas) do
    if not seconds[day] then names[#names + 1] = day end
  end
  for at = 1, #names, AT_ONCE do
    local upto = math.min(at + AT_ONCE - 1, #names)
    for i, value in ipairs(call("HMGET", head .. ":o", unpack(names, at, upto))) do
      lasts[at + i - 1] = value
    end
  end
  for i, day in ipairs(names) do
    local known_last = tonumber(lasts[i] or nil)
    if known_last then
      if recorded >= known_last + SEALED_AFTER then return {3, day, known_last + SEALED_AFTER} end
    elseif is_sealed(day) then
      return {3, day, 0}
    end
    if seconds[day] and (not known_last or seconds[day] > known_last) then
      touched[#touched + 1] = day
      touched[#touched + 1] = seconds[day]
    end
  end
end

if ARGV[4] == "ask" then return {0} end

-- 4. From here on it is applied.

for at = 1, #touched, AT_ONCE do
  call("HSET", head .. ":o", unpack(touched, at, math.min(at + AT_ONCE - 1, #touched)))
end
for _, place in ipairs(places) do
  for bucket, list in pairs(place[2]) do call("SADD", place[1] .. bucket, unpack(list)) end
end
for bucket, list in pairs(session_changes) do call("HSET", bucket, unpack(list)) end

-- Set the fields in `set` and delete those in `gone`.
local function put(key, set, gone)
  if #set > 0 then call("HSET", key, unpack(set)) end
  if #gone > 0 then call("HDEL", key, unpack(gone)) end
end

-- 5. Every slot whose deltas changed: merge them, and sum up (net, rise) again.

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

local nets = {} -- key -> field -> growth

local function change_day(day, all) -- all: series -> slot -> second -> delta
  local fields, peak_fields = {}, {}
  for series, slots in pairs(all) do
    peak_fields[#peak_fields + 1] = series
    for slot in pairs(slots) do fields[#fields + 1] = series .. "." .. slot end
  end
  local seconds_key, peaks_key = head .. ":x:" .. day, head .. ":p:" .. day
  local old = {}
  for i, packed in ipairs(call("HMGET", seconds_key, unpack(fields))) do old[fields[i]] = packed end
  local old_peaks = call("HMGET", peaks_key, unpack(peak_fields))
  local set, gone, peaks_set, peaks_gone = {}, {}, {}, {}
  for i, series in ipairs(peak_fields) do
    local peaks = old_peaks[i] and unpack_value(old_peaks[i]) or {}
    local day_net = 0
    for slot, changes in pairs(all[series]) do
      local field = series .. "." .. slot
      local packed = old[field]
      local merged, net, rise = merge_deltas(packed and unpack_value(packed) or {}, changes)
      if #merged > 0 then
        set[#set + 1] = field
        set[#set + 1] = pack(merged)
      elseif packed then
        gone[#gone + 1] = field
      end
      put_summary(peaks, slot, net, rise, #merged > 0)
      for _, amount in pairs(changes) do day_net = day_net + amount end
    end
    if #peaks > 0 then
      peaks_set[#peaks_set + 1] = series
      peaks_set[#peaks_set + 1] = pack(peaks)
    elseif old_peaks[i] then
      peaks_gone[#peaks_gone + 1] = series
    end
    if day_net ~= 0 then
      local block = floor(day / DAYS_PER_BLOCK)
      nest(nets, head .. ":n:" .. block)[series .. "." .. day] = day_net
      local blocks, field = nest(nets, head .. ":n"), series .. "." .. block
      blocks[field] = (blocks[field] or 0) + day_net
    end
  end
  put(seconds_key, set, gone)
  put(peaks_key, peaks_set, peaks_gone)
end

for day, all in pairs(deltas) do change_day(day, all) end

for key, growths in pairs(nets) do
  local fields = {}
  for field, amount in pairs(growths) do
    if amount ~= 0 then fields[#fields + 1] = field end
  end
  if #fields > 0 then
    local set, gone = {}, {}
    for i, known_net in ipairs(call("HMGET", key, unpack(fields))) do
      local net = tonumber(known_net or "0") + growths[fields[i]]
      if net ~= 0 then
        set[#set + 1] = fields[i]
        set[#set + 1] = net
      else
        gone[#gone + 1] = fields[i]
      end
    end
    put(key, set, gone)
  end
end

-- 6. Counters: per slot, and per UTC day.

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

local function count_some(day, metrics, from, upto, slots_key, days_key)
  local names, day_names = {}, {}
  for i = from, upto do
    names[#names + 1] = metrics[i][1]
    day_names[#day_names + 1] = day .. "." .. metrics[i][1]
  end
  local lists = call("HMGET", slots_key, unpack(names))
  local totals = call("HMGET", days_key, unpack(day_names))
  local slots_set, days_set = {}, {}
  for i, name in ipairs(names) do
    local list = lists[i] and unpack_value(lists[i]) or {}
    local total = tonumber(totals[i] or "0")
    for _, step in ipairs(metrics[from + i - 1][2]) do
      bump(list, step[1], step[2])
      total = total + step[2]
    end
    slots_set[2 * i - 1], slots_set[2 * i] = name, pack(list)
    days_set[2 * i - 1], days_set[2 * i] = day_names[i], string.format("%.0f", total)
  end
  call("HSET", slots_key, unpack(slots_set))
  call("HSET", days_key, unpack(days_set))
end

local function count(entries, slots_letter, days_letter)
  for _, entry in ipairs(entries) do
    local day, metrics = entry[1], entry[2]
    local slots_key = head .. slots_letter .. day
    local days_key = head .. days_letter .. floor(day / DAYS_PER_BLOCK)
    for at = 1, #metrics, AT_ONCE do
      count_some(day, metrics, at, math.min(at + AT_ONCE - 1, #metrics), slots_key, days_key)
    end
  end
end

count(counters, ":s:", ":c:")
count(flows, ":t:", ":g:")

-- 7. The fence, so that none of this is ever applied again.

head_changes[#head_changes + 1] = fence_field
head_changes[#head_changes + 1] = last
call("HSET", head, unpack(head_changes))
return {0}
