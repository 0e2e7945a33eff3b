-- Apply one account's part of a round, all of it or nothing.
--
-- KEYS[1]  the account's head; every other key is built from it (same cluster slot)
-- ARGV[1]  the part (rollups/fold.py, Part), packed with MessagePack
-- ARGV[2]  the 8-byte keys of the part's sessions, end to end
-- ARGV[3]  the session limits in seconds, by the application's index, packed likewise
-- ARGV[4]  "ask" to learn the answer and change nothing
--
-- Answers {0} when the part is in the rollups, else changes nothing and answers
--   {1, name, offset, ...} of these topic-partitions everything up to an offset in the part was
--                          applied before: fold again what lies above it
--   {2, epoch, id, ...}    these identities were applied before: fold again without them
--   {3, day, since}        this UTC day is sealed for an event of the part, from the second `since`
--                          on. Certain for a part of one event; of several, each must be asked for
--
-- First everything is read and checked, then everything is written: a script is one step to every
-- other client and to the append-only file, but an error in the middle of it undoes nothing.
--
-- Commands are what costs here, about a microsecond each, and then tables and MessagePack. So an
-- account's day is one hash, of which all fields that matter are read at once and set at once; and
-- what grows along the day is a string of records of one size, sorted by slot, of which only the
-- record that changes is cut out (mostly the last one), never a list that is unpacked.

local head = KEYS[1]
local call = redis.call
local floor, ceil, max = math.floor, math.ceil, math.max
local pack, unpack_value = cmsgpack.pack, cmsgpack.unpack
local pack_record, unpack_record = struct.pack, struct.unpack
local byte, sub = string.byte, string.sub

local SLOT = 900
local SLOTS_PER_DAY = 96
local DAYS_PER_BLOCK = 32
local SEALED_AFTER = 35 * 86400
-- Buckets stay below the sizes up to which Redis keeps a set of integers (512) and a small hash
-- (128) in one packed piece; an unsplit bucket holds up to twice the mean.
local IDENTITIES_PER_BUCKET = 192
local SESSIONS_PER_BUCKET = 40
local NEVER = -549755813888 -- in a packed session: no start, or no stop (smallest 5-byte integer)
-- The series that a session of each application is part of, by index (rollups/vocabulary.py).
local SERIES_OF = {[0] = {0, 1}, {0, 2}, {3}, {4}}
local SERIES = 5

local fences, recorded, days, identities, sessions, counters = unpack(unpack_value(ARGV[1]))

-- ------------------------------------------------------------------------- 1. What the head says
-- The fences, and how many identities ("i:<epoch>") and sessions ("z:<epoch>") each epoch of the
-- part and those beside it hold.

local asked, kept = {}, {}
for i = 1, #fences, 3 do asked[#asked + 1] = "f:" .. fences[i] end

local function ask_for(letter, epoch)
  for near = epoch - 1, epoch + 1 do
    local field = letter .. near
    if kept[field] == nil then
      kept[field] = 0
      asked[#asked + 1] = field
    end
  end
end

for i = 1, #identities, 2 do ask_for("i:", identities[i]) end
for i = 1, #sessions, 4 do ask_for("z:", sessions[i + 1]) end
do
  local found = call("HMGET", head, unpack(asked))
  for i = 1, #asked do kept[asked[i]] = tonumber(found[i] or nil) end
end

do
  local answer = {1}
  for i = 1, #fences, 3 do
    local fence = kept["f:" .. fences[i]]
    if fence and fences[i + 1] <= fence then
      answer[#answer + 1] = fences[i]
      answer[#answer + 1] = fence
    end
  end
  if #answer > 1 then return answer end
end

-- ------------------------------------------------------------------------------ Tables in buckets
-- Linear hashing: a table that holds `count` has as many buckets as that needs, and grows by
-- splitting one bucket at a time, so that no event ever pays for what is already there. The bucket
-- of h is h modulo the next power of two, or half of it where that bucket is not there yet.

local function buckets_for(count, per_bucket) return max(ceil(count / per_bucket), 1) end

local function size_for(n) -- the smallest power of two that is not below n
  local size = 1
  while size < n do size = size * 2 end
  return size
end

local function id_hash(id) return tonumber(sub(id, -9)) end -- all 64 bits would not be exact here

local function session_hash(key)
  local a, b, c, d = byte(key, 1, 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function divide(list, n, hash) -- answers bucket -> those of `list` that belong there
  if n == 1 then return {[0] = list} end
  local size, groups = size_for(n), {}
  local half = size / 2
  for i = 1, #list do
    local bucket = hash(list[i]) % size
    if bucket >= n then bucket = bucket - half end
    local group = groups[bucket]
    if group then group[#group + 1] = list[i] else groups[bucket] = {list[i]} end
  end
  return groups
end

local function grow_identities(prefix, n, wanted)
  for bucket = n, wanted - 1 do
    local size = size_for(bucket + 1)
    local source, moved = prefix .. bucket - size / 2, {}
    local all = call("SMEMBERS", source)
    for i = 1, #all do
      if id_hash(all[i]) % size == bucket then moved[#moved + 1] = all[i] end
    end
    if #moved > 0 then
      call("SREM", source, unpack(moved))
      call("SADD", prefix .. bucket, unpack(moved))
    end
  end
end

local function grow_sessions(prefix, n, wanted)
  for bucket = n, wanted - 1 do
    local size = size_for(bucket + 1)
    local source, moved, fields = prefix .. bucket - size / 2, {}, {}
    local all = call("HGETALL", source)
    for i = 1, #all, 2 do
      if session_hash(all[i]) % size == bucket then
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

-- --------------------------------------------------- 2. Was any of these events applied before?
-- An identity is remembered in the epoch of its record, and looked for in the two beside it, too.

local known = {2}
local groups_of = {} -- epoch -> bucket -> identities of the part, as the table is now
for i = 1, #identities, 2 do
  local ids = identities[i + 1]
  for epoch = identities[i] - 1, identities[i] + 1 do
    local count = kept["i:" .. epoch] or 0
    if count > 0 then
      local prefix = head .. ":i:" .. epoch .. ":"
      local groups = divide(ids, buckets_for(count, IDENTITIES_PER_BUCKET), id_hash)
      if epoch == identities[i] then groups_of[epoch] = groups end
      for bucket, group in pairs(groups) do
        local members = call("SMISMEMBER", prefix .. bucket, unpack(group))
        for k = 1, #group do
          if members[k] == 1 then
            known[#known + 1] = identities[i] -- the epoch it is told in, not where it is
            known[#known + 1] = group[k]
          end
        end
      end
    end
  end
end
if #known > 1 then return known end

-- ------------------------------------------------------------------------------------ 3. Sessions
-- The earliest start and stop of each; what changes is a delta at four seconds at most. Like an
-- identity, a session is looked for in the epoch of its record and those beside it.

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
  local its_series = SERIES_OF[application]
  for i = 1, #its_series do
    local seconds = nest(nest(nest(deltas, day), its_series[i]), slot - day * SLOTS_PER_DAY)
    seconds[offset] = (seconds[offset] or 0) + amount
  end
end

local function end_of(start, stop, limit)
  if start == NEVER then return NEVER end
  if stop == NEVER then return start + limit end
  return max(stop, start + 1)
end

local function move(application, from, to, amount)
  if from == to then return end
  if from ~= NEVER then add_delta(application, from, -amount) end
  if to ~= NEVER then add_delta(application, to, amount) end
end

local function earliest(known_second, told)
  if told == NEVER or (known_second ~= NEVER and known_second <= told) then return known_second end
  return told
end

local told = {} -- epoch -> {keys}: what the sessions of the part are called there
local session_of = {} -- epoch -> key -> packed: what is known of them, and then what is new
local new_sessions, home = {}, {} -- epoch -> those not known; epoch -> key -> where it is kept

if #sessions > 0 then
  local limits = unpack_value(ARGV[3])
  local function of(i) return sub(ARGV[2], 2 * i - 1, 2 * i + 6) end -- i: 1, 5, 9, ...
  for i = 1, #sessions, 4 do
    local list = nest(told, sessions[i + 1])
    list[#list + 1] = of(i)
  end
  for epoch, list in pairs(told) do
    nest(home, epoch)
    for near = epoch - 1, epoch + 1 do
      local count = kept["z:" .. near] or 0
      if count > 0 then
        local prefix = head .. ":z:" .. near .. ":"
        local groups = divide(list, buckets_for(count, SESSIONS_PER_BUCKET), session_hash)
        for bucket, group in pairs(groups) do
          local found = call("HMGET", prefix .. bucket, unpack(group))
          for k = 1, #group do
            if found[k] then
              nest(session_of, near)[group[k]] = found[k]
              if near == epoch or not home[epoch][group[k]] then home[epoch][group[k]] = near end
            end
          end
        end
      end
    end
  end
  local changed = {} -- epoch -> key -> packed
  for i = 1, #sessions, 4 do
    local key, application, epoch = of(i), sessions[i], sessions[i + 1]
    local near = home[epoch][key]
    for beside = epoch - 1, epoch + 1 do -- another record of this part may have brought it there
      if not near and session_of[beside] and session_of[beside][key] then near = beside end
    end
    local start, stop = NEVER, NEVER
    if near then
      start, stop = unpack_record(">i5i5", session_of[near][key])
    else
      near = epoch
      local list = nest(new_sessions, epoch)
      list[#list + 1] = key
    end
    local new_start, new_stop = earliest(start, sessions[i + 2]), earliest(stop, sessions[i + 3])
    if new_start ~= start or new_stop ~= stop then
      local limit = limits[application + 1]
      move(application, start, new_start, 1)
      move(application, end_of(start, stop, limit), end_of(new_start, new_stop, limit), -1)
      local packed = pack_record(">i5i5", new_start, new_stop)
      nest(session_of, near)[key] = packed
      nest(changed, near)[key] = packed
    end
  end
  told = changed
end

-- ---------------------------------------------------------------- 4. The days, as they are known
-- Of each: the second of the newest record that touched it ("t"), the series whose deltas change
-- and the counters that grow. Is one of them sealed for an event of the part?

local growth_of = {} -- UTC day -> {metric, slot of the day, amount, ...}, sorted by metric
for i = 1, #counters, 3 do
  local slot = counters[i + 1]
  local day = floor(slot / SLOTS_PER_DAY)
  local list = nest(growth_of, day)
  local n = #list
  list[n + 1], list[n + 2], list[n + 3] = counters[i], slot - day * SLOTS_PER_DAY, counters[i + 2]
end

local function is_sealed(day) -- and everything dropped that only a change would need
  local block = floor(day / DAYS_PER_BLOCK)
  local bits = tonumber(call("HGET", head, "s:" .. block) or "0")
  return floor(bits / 2 ^ (day - block * DAYS_PER_BLOCK)) % 2 == 1
end

local touched = {} -- UTC day -> the second at which the part touches it; false where it does not
for i = 1, #days, 2 do touched[days[i]] = days[i + 1] end
for day in pairs(deltas) do
  if not touched[day] then touched[day] = false end
end

local of_day = {} -- UTC day -> field -> value
local opened = {} -- the UTC days that nothing had touched
for day, second in pairs(touched) do
  local fields, values, growth = {"t"}, {}, growth_of[day]
  for series in pairs(deltas[day] or {}) do fields[#fields + 1] = series end
  if growth then
    for i = 1, #growth, 3 do
      if growth[i] ~= fields[#fields] then fields[#fields + 1] = growth[i] end
    end
  end
  local found = call("HMGET", head .. ":d:" .. day, unpack(fields))
  for i = 1, #fields do values[fields[i]] = found[i] end
  local last = tonumber(found[1] or nil)
  if last then
    if recorded >= last + SEALED_AFTER then return {3, day, last + SEALED_AFTER} end
  elseif is_sealed(day) then
    return {3, day, 0}
  elseif second then
    opened[#opened + 1] = day
  end
  of_day[day] = values
end

if ARGV[4] == "ask" then return {0} end

-- ------------------------------------------------------------------ 5. From here on it is written
-- First the identities and the sessions, in tables that have grown for them.

local head_changes = {}

-- Answers the number of buckets, and whether there are more of them now.
local function count_more(letter, epoch, more, per_bucket, grow)
  local field = letter .. epoch
  local count = kept[field] or 0
  local n, before = buckets_for(count + more, per_bucket), buckets_for(count, per_bucket)
  if count > 0 and n > before then grow(head .. ":" .. field .. ":", before, n) end
  if more > 0 then
    head_changes[#head_changes + 1] = field
    head_changes[#head_changes + 1] = count + more
  end
  return n, n > before
end

for i = 1, #identities, 2 do
  local epoch, ids = identities[i], identities[i + 1]
  local n, more = count_more("i:", epoch, #ids, IDENTITIES_PER_BUCKET, grow_identities)
  local groups = not more and groups_of[epoch] or divide(ids, n, id_hash)
  for bucket, group in pairs(groups) do
    call("SADD", head .. ":i:" .. epoch .. ":" .. bucket, unpack(group))
  end
end

for epoch, changed in pairs(told) do
  local new = new_sessions[epoch]
  local n = count_more("z:", epoch, new and #new or 0, SESSIONS_PER_BUCKET, grow_sessions)
  local list = {}
  for key in pairs(changed) do list[#list + 1] = key end
  for bucket, group in pairs(divide(list, n, session_hash)) do
    local set = {}
    for i = 1, #group do set[2 * i - 1], set[2 * i] = group[i], changed[group[i]] end
    call("HSET", head .. ":z:" .. epoch .. ":" .. bucket, unpack(set))
  end
end

-- -------------------------------------------------------------------- 6. Deltas, and (net, rise)

local function merge(old, changes) -- answers the new packed deltas (nil for none), net and rise
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
  return size > 0 and pack(merged) or nil, level, rise or 0
end

-- Where the record of `slot` begins in records of `size` bytes sorted by slot, and whether it is
-- there; if not, it belongs there. The slot is the first byte of a record.
local function place(records, slot, size)
  local at = #records - size + 1
  while at >= 1 do
    local its = byte(records, at)
    if its == slot then return at, true end
    if its < slot then break end
    at = at - size
  end
  return at + size, false
end

local function put_record(records, slot, size, record) -- nil takes it away
  local at, is_there = place(records, slot, size)
  return sub(records, 1, at - 1) .. (record or "") .. sub(records, is_there and at + size or at)
end

local nets = {} -- block of days -> day of the block * SERIES + series -> growth

local function change_curves(day, all, values, set, gone) -- all: series -> slot -> second -> delta
  local fields, key = {}, head .. ":x:" .. day
  for series, slots in pairs(all) do
    for slot in pairs(slots) do fields[#fields + 1] = series .. "." .. slot end
  end
  local found, x_set, x_gone = call("HMGET", key, unpack(fields)), {}, {}
  local at = 0
  for series, slots in pairs(all) do
    local old = values[series] or ""
    local summary, day_net = old, 0
    for slot, changes in pairs(slots) do
      at = at + 1
      local merged, net, rise = merge(found[at] and unpack_value(found[at]) or {}, changes)
      if merged then
        x_set[#x_set + 1], x_set[#x_set + 2] = fields[at], merged
        summary = put_record(summary, slot, 9, pack_record(">Bi4i4", slot, net, rise))
      else
        if found[at] then x_gone[#x_gone + 1] = fields[at] end
        summary = put_record(summary, slot, 9, nil)
      end
      for _, amount in pairs(changes) do day_net = day_net + amount end
    end
    if #summary > 0 then
      set[#set + 1], set[#set + 2] = series, summary
    elseif #old > 0 then
      gone[#gone + 1] = series
    end
    if day_net ~= 0 then
      local block = floor(day / DAYS_PER_BLOCK)
      nest(nets, block)[(day - block * DAYS_PER_BLOCK) * SERIES + series] = day_net
    end
  end
  if #x_set > 0 then call("HSET", key, unpack(x_set)) end
  if #x_gone > 0 then call("HDEL", key, unpack(x_gone)) end
end

-- ------------------------------------------------------------ 7. Counters, and the days as a whole

local function add_amount(records, slot, amount) -- records: slot, then 7 bytes
  local at, is_there = place(records, slot, 8)
  if is_there then amount = amount + unpack_record(">I7", records, at + 1) end
  return sub(records, 1, at - 1) .. pack_record(">BI7", slot, amount)
    .. sub(records, is_there and at + 8 or at)
end

for day, values in pairs(of_day) do
  local set, gone = {}, {}
  local second, growth = touched[day], growth_of[day]
  if second and second > tonumber(values.t or "-1e15") then
    set[1], set[2] = "t", string.format("%.0f", second)
  end
  if deltas[day] then change_curves(day, deltas[day], values, set, gone) end
  if growth then
    local i = 1
    while i <= #growth do
      local metric = growth[i]
      local records = values[metric] or ""
      while growth[i] == metric do
        records = add_amount(records, growth[i + 1], growth[i + 2])
        i = i + 3
      end
      set[#set + 1], set[#set + 2] = metric, records
    end
  end
  if #set > 0 then call("HSET", head .. ":d:" .. day, unpack(set)) end
  if #gone > 0 then call("HDEL", head .. ":d:" .. day, unpack(gone)) end
end

-- ------------------------------------------------------ 8. What a block of days does to the levels
-- Per block: the net of each series over all of it, then a record for each day and series with one.

do
  local blocks = {}
  for block in pairs(nets) do blocks[#blocks + 1] = block end
  if #blocks > 0 then
    local found, set, gone = call("HMGET", head .. ":n", unpack(blocks)), {}, {}
    for i, block in ipairs(blocks) do
      local old = found[i]
      local sums = {0, 0, 0, 0, 0}
      if old then sums = {unpack_record(">i5i5i5i5i5", old)} end
      local records = old and sub(old, 5 * SERIES + 1) or ""
      for index, growth in pairs(nets[block]) do
        local series = index % SERIES + 1
        sums[series] = sums[series] + growth
        local at, is_there = place(records, index, 5)
        local net = growth + (is_there and unpack_record(">i4", records, at + 1) or 0)
        records = put_record(records, index, 5, net ~= 0 and pack_record(">Bi4", index, net) or nil)
      end
      if #records > 0 then
        set[#set + 1] = block
        set[#set + 1] = pack_record(">i5i5i5i5i5", unpack(sums, 1, SERIES)) .. records
      elseif old then
        gone[#gone + 1] = block
      end
    end
    if #set > 0 then call("HSET", head .. ":n", unpack(set)) end
    if #gone > 0 then call("HDEL", head .. ":n", unpack(gone)) end
  end
end

-- ---------------------------- 9. The head: open days, and the fences, so that none of this is ever
-- applied again.

do
  local blocks = {} -- block -> bits
  for _, day in ipairs(opened) do
    local block = floor(day / DAYS_PER_BLOCK)
    local bits = blocks[block] or tonumber(call("HGET", head, "o:" .. block) or "0")
    local bit = 2 ^ (day - block * DAYS_PER_BLOCK)
    if floor(bits / bit) % 2 == 0 then bits = bits + bit end
    blocks[block] = bits
  end
  for block, bits in pairs(blocks) do
    head_changes[#head_changes + 1] = "o:" .. block
    head_changes[#head_changes + 1] = string.format("%.0f", bits)
  end
end
for i = 1, #fences, 3 do
  head_changes[#head_changes + 1] = "f:" .. fences[i]
  head_changes[#head_changes + 1] = fences[i + 2]
end
call("HSET", head, unpack(head_changes))
return {0}
