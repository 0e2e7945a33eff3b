-- Apply one account's delta of a micro-batch, all of it or nothing.
--
-- KEYS[1]  the account's head; every other key is built from it (same cluster slot)
-- ARGV[1]  the delta (rollups/fold.py), packed with MessagePack
-- ARGV[2]  the 8-byte keys of the delta's sessions, end to end
-- ARGV[3]  the session limits in seconds, by the application's index, packed likewise
-- ARGV[4]  the second on the worker's clock: days that change stay open from then on
-- ARGV[5]  a topic-partition whose fence must have reached the offset in ARGV[6], where the delta is
--          to be applied after another one; or nothing
--
-- Answers {APPLIED, load} when the delta is in the rollups; otherwise it changes nothing and answers
--   {BELOW_FENCE, name, offset, ...}  everything of these topic-partitions up to an offset in the
--                                     delta was applied before: fold again what lies above it
--   {KNOWN, id, ...}                  these identities were applied before: fold again without them
--   {SEALED, day, ...}                these UTC days are sealed: reject the events that touch them
--   {CHANGES_SEALED}                  a session would change a sealed day: cut the delta in two, or
--                                     reject the one event that it has
--   {TOO_MUCH, load}                  more work than one script may do: cut the delta into smaller ones
--   {TOO_EARLY}                       what it is after is not applied yet: send it again once it is
--
-- What is answered before TOO_EARLY is right whether or not that is applied. The load is how much work
-- it is, in hundredths of what one script may do: the worker makes the next deltas as large as it says.
-- That of TOO_MUCH is what it would be if each event needed a bucket of its own.
--
-- Names in capitals, and the functions that build keys (`..._key`, `..._prefix`) and fields of
-- the head (`..._field`), are defined by scripts.py in front of this.
--
-- First everything is read and checked, then everything is written: a script is one step to every
-- other client and to the append-only file, but an error in the middle of it undoes nothing.
--
-- No step here takes longer the more was applied before. The number of events in a delta is bounded,
-- and their cost by what they change (MOST_STEPS, MOST_SLOTS, MOST_PIECES).
--
-- Commands are what costs here, about a microsecond each, and then tables and MessagePack. So an
-- account's day is one hash, of which all fields that matter are read at once and set at once; and
-- what grows along the day is a string of records of one size, sorted by slot, of which only the
-- record that changes is cut out (mostly the last one), never a list that is unpacked.

local head = KEYS[1]
local call = redis.call
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local pack, unpack_value = cmsgpack.pack, cmsgpack.unpack
local pack_record, unpack_record = struct.pack, struct.unpack
local byte, sub = string.byte, string.sub

-- What one delta may cost, in steps of some microseconds: days, buckets and counters that it
-- changes; slots of series, and pieces of those that have many deltas; and as many slots in which
-- sessions count.
local MOST_STEPS, STEPS_A_DAY = 700, 6
local MOST_SLOTS, MOST_PIECES = 60, 400
local MOST_VOIDS = 50
local PIECE_SECONDS = SLOT_SECONDS / PIECES
local load = 0 -- how much of that this is, in hundredths, as far as it is known

local function weigh(work, most) load = max(load, ceil(100 * work / most)) end

-- Corrections and voids are there only where the delta has some.
local fences, days, identities, sessions, counters, corrections, voids = unpack(unpack_value(ARGV[1]))
local now = tonumber(ARGV[4])

local function nest(outer, key)
  local inner = outer[key]
  if not inner then inner = {}; outer[key] = inner end
  return inner
end

-- ------------------------------------------------------------------------- 1. What the head says
-- The fences; for each block of days of the delta how many identities it has, and which of
-- its days are sealed and open; how many sessions there are, in how many buckets, and from which
-- day on they are counted; how many voids wait for their event.

local head_fields = {}
local fence_fields, count_fields = {}, {} -- in the order of `fences` and of `identities`
local identity_counts = {} -- block -> how many identities it has; none if it has no table
local sealed_in, open_in = {}, {} -- block -> a bit for each of its days
do
  local asked = {SESSION_COUNT, SESSION_BUCKETS, SESSIONS_COUNTED_FROM, PENDING_VOIDS}
  local size = #asked
  for i = 1, #fences, 3 do
    size = size + 1
    asked[size] = fence_field(fences[i])
    fence_fields[i] = asked[size]
  end
  if ARGV[5] ~= "" then
    size = size + 1
    asked[size] = fence_field(ARGV[5])
  end
  local behind_fences = size
  for i = 1, #identities, 2 do
    local block = identities[i]
    count_fields[i] = identity_count_field(block)
    asked[size + 1], asked[size + 2], asked[size + 3] =
      count_fields[i], sealed_days_field(block), open_days_field(block)
    size = size + 3
  end
  local found = call("HMGET", head, unpack(asked))
  for i = 1, behind_fences do head_fields[asked[i]] = tonumber(found[i] or nil) or false end
  for i = 1, #identities, 2 do
    local block, at = identities[i], behind_fences + 3 * (i - 1) / 2
    identity_counts[block] = tonumber(found[at + 1] or nil)
    sealed_in[block], open_in[block] = tonumber(found[at + 2] or "0"), tonumber(found[at + 3] or "0")
  end
end

local function learn(block)
  local found = call("HMGET", head, sealed_days_field(block), open_days_field(block))
  sealed_in[block], open_in[block] = tonumber(found[1] or "0"), tonumber(found[2] or "0")
end

local sealed_days = {} -- UTC day -> whether it is sealed, as far as that was asked for

local function is_sealed(day)
  local answer = sealed_days[day]
  if answer == nil then
    local block = floor(day / DAYS_PER_BLOCK)
    if not sealed_in[block] then learn(block) end
    local bits = sealed_in[block]
    answer = bits > 0 and floor(bits / 2 ^ (day - block * DAYS_PER_BLOCK)) % 2 == 1
    sealed_days[day] = answer
  end
  return answer
end

do
  local answer = {BELOW_FENCE}
  for i = 1, #fences, 3 do
    local fence = head_fields[fence_fields[i]]
    if fence and fences[i + 1] <= fence then
      answer[#answer + 1] = fences[i]
      answer[#answer + 1] = fence
    end
  end
  if #answer > 1 then return answer end
end

-- A duplicate of what was applied to a sealed day is rejected like any other event for it: what
-- would tell it from a new event is dropped, or may be at any moment.
do
  local answer = {SEALED}
  for i = 1, #days do
    if is_sealed(days[i]) then answer[#answer + 1] = days[i] end
  end
  if #answer > 1 then return answer end
end

-- ------------------------------------------------------------------------------ Tables in buckets
-- Linear hashing: a table that holds `count` has as many buckets as that needs, and grows by
-- splitting one bucket at a time, so that no event ever pays for what is already there. The bucket
-- of h is h modulo the next power of two, or half of it where that bucket is not there yet.

local function buckets_for(count, per_bucket) return max(ceil((count or 0) / per_bucket), 1) end

local function size_for(n) -- the smallest power of two that is not below n
  local size = 1
  while size < n do size = size * 2 end
  return size
end

-- The hash of an identity is its last nine digits: all 64 bits would not be exact here. Modulo 2^k
-- the last k of them come to the same, and cost less. (Of a shorter number the sign counts as well.)
local function last_digits(size)
  local digits = 1
  while digits < 9 and 2 ^ digits < size do digits = digits + 1 end
  return -digits
end

local function id_buckets(ids, size) -- answers the hash of each, modulo `size`
  local tail, found = last_digits(size), {}
  for i = 1, #ids do
    local id = ids[i]
    found[i] = sub(id, #id < 10 and -9 or tail) % size
  end
  return found
end

local function session_buckets(session_keys, size)
  local found = {}
  for i = 1, #session_keys do
    local a, b, c, d = byte(session_keys[i], 1, 4)
    found[i] = (((a * 256 + b) * 256 + c) * 256 + d) % size
  end
  return found
end

local function divide(list, n, buckets_of) -- answers bucket -> those of `list` that belong there
  if n == 1 or #list == 0 then return {[0] = list} end
  local size, groups = size_for(n), {}
  local half, buckets = size / 2, buckets_of(list, size)
  for i = 1, #list do
    local bucket = buckets[i]
    if bucket >= n then bucket = bucket - half end
    local group = groups[bucket]
    if group then group[#group + 1] = list[i] else groups[bucket] = {list[i]} end
  end
  return groups
end

-- Parts what `divide` put into the group `source`: what belongs into the new `bucket` goes there.
local function part(groups, source, bucket, size, buckets_of)
  local group = groups[source]
  if not group then return end
  local stays, goes = {}, {}
  for i, where in ipairs(buckets_of(group, size)) do
    local to = where == bucket and goes or stays
    to[#to + 1] = group[i]
  end
  groups[source], groups[bucket] = #stays > 0 and stays or nil, #goes > 0 and goes or nil
end

-- Both grow the table itself, and `groups`, what a delta has of it.
local function grow_identities(prefix, n, wanted, groups)
  for bucket = n, wanted - 1 do
    local size = size_for(bucket + 1)
    part(groups, bucket - size / 2, bucket, size, id_buckets)
    local source, moved = prefix .. bucket - size / 2, {}
    local all = call("SMEMBERS", source)
    local buckets, n_moved = id_buckets(all, size), 0
    for i = 1, #all do
      if buckets[i] == bucket then
        n_moved = n_moved + 1
        moved[n_moved] = all[i]
      end
    end
    if n_moved > 0 then
      call("SREM", source, unpack(moved))
      call("SADD", prefix .. bucket, unpack(moved))
    end
  end
end

local function grow_sessions(prefix, n, wanted, groups)
  for bucket = n, wanted - 1 do
    local size = size_for(bucket + 1)
    part(groups, bucket - size / 2, bucket, size, session_buckets)
    local source, moved, fields, names = prefix .. bucket - size / 2, {}, {}, {}
    local all = call("HGETALL", source)
    for i = 1, #all, 2 do names[#names + 1] = all[i] end
    for i, where in ipairs(session_buckets(names, size)) do
      if where == bucket then
        fields[#fields + 1] = names[i]
        moved[#moved + 1] = names[i]
        moved[#moved + 1] = all[2 * i]
      end
    end
    if #fields > 0 then
      call("HDEL", source, unpack(fields))
      call("HSET", prefix .. bucket, unpack(moved))
    end
  end
end

local one_event = #fences == 3 and fences[2] == fences[3]

do
  local steps = #days * STEPS_A_DAY
  for i = 1, #counters, 3 do -- of each metric one number, then two for each slot
    steps = steps + (#counters[i + 2] - #counters[i + 1]) / 2
  end
  local n_sessions, n_ids = #sessions / 3, 0
  local buckets_at_most = min(n_sessions, head_fields[SESSION_BUCKETS] or 1)
  for i = 1, #identities, 2 do
    local size = #identities[i + 1]
    n_ids = n_ids + size
    buckets_at_most = buckets_at_most
      + min(size, buckets_for(identity_counts[identities[i]], IDENTITIES_PER_BUCKET))
  end
  weigh(steps + 2 * buckets_at_most, MOST_STEPS)
  if voids then weigh(#voids, MOST_VOIDS) end
  if load > 100 and not one_event then
    -- What is smaller has fewer events in a bucket, down to one: only without that is it in proportion.
    weigh(steps + 2 * (n_ids + n_sessions), MOST_STEPS)
    return {TOO_MUCH, load}
  end
end

-- --------------------------------------------------- 2. Was any of these events applied before?
-- An identity is remembered in the block of its event's day (and the day is part of the identity).

local groups_of = {} -- block -> bucket -> identities of the delta, as the table is now
local bucket_keys = {} -- block -> bucket -> its key, as far as it was named: Lua writes numbers slowly
do
  local known = {KNOWN}
  for i = 1, #identities, 2 do
    local block, ids = identities[i], identities[i + 1]
    local count = identity_counts[block]
    if count then
      local prefix = identities_prefix(head, block)
      local groups = divide(ids, buckets_for(count, IDENTITIES_PER_BUCKET), id_buckets)
      local keys = {}
      groups_of[block], bucket_keys[block] = groups, keys
      for bucket, group in pairs(groups) do
        local key = prefix .. bucket
        keys[bucket] = key
        local members = call("SMISMEMBER", key, unpack(group))
        for k = 1, #group do
          if members[k] == 1 then known[#known + 1] = group[k] end
        end
      end
    end
  end
  if #known > 1 then return known end
end

-- The events up to there are applied before, or the fence would move over them. From here on answers
-- depend on what they changed.
if ARGV[5] ~= "" and (head_fields[fence_field(ARGV[5])] or -1) < tonumber(ARGV[6]) then return {TOO_EARLY} end

-- ------------------------------------------------------------------------------------ 3. Sessions
-- The earliest start and stop of each; what changes is a delta at four seconds at most, and two
-- counters at two: a session counts where it starts, and there as one without a stop until it has one.

local deltas = {} -- UTC day -> series -> slot of the day -> second of the slot -> delta
local slots_changed = 0

local function add_delta(application, second, amount)
  local slot = floor(second / SLOT_SECONDS)
  local day = floor(slot / SLOTS_PER_DAY)
  local offset, place = second - slot * SLOT_SECONDS, slot - day * SLOTS_PER_DAY
  local series_of_session = SERIES_OF[application]
  local of_day = nest(deltas, day)
  for i = 1, #series_of_session do
    local slots = nest(of_day, series_of_session[i])
    local seconds = slots[place]
    if not seconds then
      seconds = {}
      slots[place] = seconds
      slots_changed = slots_changed + 1
    end
    seconds[offset] = (seconds[offset] or 0) + amount
  end
end

local function end_of(start, stop, limit)
  if start == UNKNOWN_SECOND then return UNKNOWN_SECOND end
  if stop == UNKNOWN_SECOND then return start + limit end
  return max(stop, start + 1)
end

local function alters_sealed(from, to) -- tells whether moving a delta would change a sealed day
  return from ~= to and (from ~= UNKNOWN_SECOND and is_sealed(floor(from / DAY_SECONDS))
    or to ~= UNKNOWN_SECOND and is_sealed(floor(to / DAY_SECONDS)))
end

local function move(application, from, to, amount)
  if from == to then return end
  if from ~= UNKNOWN_SECOND then add_delta(application, from, -amount) end
  if to ~= UNKNOWN_SECOND then add_delta(application, to, amount) end
end

local counts = {} -- metric -> slot -> growth
local slots_counted = 0

local function grow(metric, slot, amount)
  local slots = nest(counts, metric)
  slots[slot] = (slots[slot] or 0) + amount
end

local function count(metric, second, amount)
  local slot = floor(second / SLOT_SECONDS)
  if not nest(counts, metric)[slot] then slots_counted = slots_counted + 1 end
  grow(metric, slot, amount)
end

local function recount(metric, from, to)
  if from == to then return end
  if from ~= UNKNOWN_SECOND then count(metric, from, -1) end
  if to ~= UNKNOWN_SECOND then count(metric, to, 1) end
end

-- Of days before this second nobody knows how many sessions there were.
local counted_from = head_fields[SESSIONS_COUNTED_FROM] and head_fields[SESSIONS_COUNTED_FROM] * DAY_SECONDS

local function if_counted(start)
  return start < counted_from and UNKNOWN_SECOND or start
end

local function earliest(known_second, other)
  if other == UNKNOWN_SECOND or (known_second ~= UNKNOWN_SECOND and known_second <= other) then return known_second end
  return other
end

-- A correction is six numbers, the seconds and microseconds of its time, start and stop. The highest
-- is in effect, and the session is then as it says, whatever its events say.

local correction_of = corrections and {} -- place of a session in the delta -> its correction there
if corrections then
  for i = 1, #corrections, 7 do
    correction_of[corrections[i]] = {unpack(corrections, i + 1, i + 6)}
  end
end

local function outranks(one, other)
  for i = 1, 6 do
    if one[i] ~= other[i] then return one[i] > other[i] end
  end
  return false
end

local function corrected(correction) -- answers start and stop, in whole seconds
  local start, stop = correction[3], correction[5]
  if start == UNKNOWN_SECOND then return UNKNOWN_SECOND, UNKNOWN_SECOND end
  if stop ~= UNKNOWN_SECOND and correction[6] > 0 then stop = stop + 1 end
  return start, stop
end

local changed_sessions, new_sessions = {}, 0 -- key -> packed
local session_groups, session_bucket_keys = nil, {} -- as those of identities, if there is a table
do
  local limits = #sessions > 0 and unpack_value(ARGV[3])
  local session_keys, found = {}, {}
  for i = 1, #sessions / 3 do session_keys[i] = sub(ARGV[2], 8 * i - 7, 8 * i) end
  if #session_keys > 0 and head_fields[SESSION_COUNT] then
    local prefix = sessions_prefix(head)
    session_groups = divide(session_keys, head_fields[SESSION_BUCKETS] or 1, session_buckets)
    for bucket, group in pairs(session_groups) do
      local key = prefix .. bucket
      session_bucket_keys[bucket] = key
      local values = call("HMGET", key, unpack(group))
      for k = 1, #group do found[group[k]] = values[k] end
    end
  end
  for i = 1, #session_keys do
    local key, application = session_keys[i], sessions[3 * i - 2]
    local start, stop, known = UNKNOWN_SECOND, UNKNOWN_SECOND, nil
    if found[key] then
      start, stop = unpack_record(SESSION_FORMAT, found[key])
      if #found[key] > SESSION_BYTES then
        known = {unpack_record(CORRECTION_FORMAT, found[key], SESSION_BYTES + 1)}
      end
    end
    local new_start = earliest(start, sessions[3 * i - 1])
    local new_stop = earliest(stop, sessions[3 * i])
    local correction = correction_of and correction_of[i]
    if not correction or known and not outranks(correction, known) then correction = known end
    if new_start ~= start or new_stop ~= stop or correction ~= known then
      local packed = pack_record(SESSION_FORMAT, new_start, new_stop)
      if known then start, stop = corrected(known) end
      if correction then
        packed = packed .. pack_record(CORRECTION_FORMAT, unpack(correction, 1, 6))
        new_start, new_stop = corrected(correction)
      end
      local limit = limits[application + 1]
      local ended, ends = end_of(start, stop, limit), end_of(new_start, new_stop, limit)
      local counted, new_counted = start, new_start
      if counted_from then counted, new_counted = if_counted(start), if_counted(new_start) end
      local unstopped = stop == UNKNOWN_SECOND and counted or UNKNOWN_SECOND
      local new_unstopped = new_stop == UNKNOWN_SECOND and new_counted or UNKNOWN_SECOND
      if alters_sealed(start, new_start) or alters_sealed(ended, ends)
        or alters_sealed(unstopped, new_unstopped) then return {CHANGES_SEALED} end
      move(application, start, new_start, 1)
      move(application, ended, ends, -1)
      recount(STARTED_OF[application], counted, new_counted)
      recount(UNSTOPPED_OF[application], unstopped, new_unstopped)
      changed_sessions[key] = packed
      if not found[key] then new_sessions = new_sessions + 1 end
    end
  end
end

-- --------------------------------------------------------------------------------------- 4. Voids
-- A void is: block of the voided event's day, identity of that event; then what is stored: seconds,
-- microseconds, source and id of the void, slot and amounts of the event, and what is listed of it.
-- The lowest by its time, source and id is in effect. It waits among the pending ones until its event
-- is there. Only a delta with voids, or an account with pending ones, comes to any of this.

local void_of = {} -- identity of a voided event -> its void, as it is from here on
local pending = head_fields[PENDING_VOIDS] or 0

if pending > 0 then
  for i = 1, #identities, 2 do
    local ids = identities[i + 1]
    local found = call("HMGET", pending_voids_key(head), unpack(ids))
    for k = 1, #ids do
      if found[k] then
        void_of[ids[k]] = {block = identities[i], packed = found[k], was_pending = true, has_come = true}
      end
    end
  end
end

if voids then
  local arriving = {}
  for i = 1, #identities, 2 do
    for _, id in ipairs(identities[i + 1]) do arriving[id] = true end
  end

  local function was_counted(block, id)
    local count = tonumber(call("HGET", head, identity_count_field(block)) or nil)
    if not count then return false end
    local bucket = next(divide({id}, buckets_for(count, IDENTITIES_PER_BUCKET), id_buckets))
    return call("SISMEMBER", identities_prefix(head, block) .. bucket, id) == 1
  end

  local function stored_void(block, id)
    local packed = call("HGET", voids_key(head, block), id)
    if packed then return {block = block, packed = packed, has_come = true} end
    packed = pending > 0 and call("HGET", pending_voids_key(head), id)
    local void = {block = block, packed = packed, was_pending = packed}
    void.has_come = arriving[id] or not packed and was_counted(block, id)
    return void
  end

  local function is_below(one, other) -- of texts, byte by byte; Lua's own order is the locale's
    for i = 1, min(#one, #other) do
      local a, b = byte(one, i), byte(other, i)
      if a ~= b then return a < b end
    end
    return #one < #other
  end

  local function gives_way(old, new)
    if new[1] ~= old[1] then return new[1] < old[1] end
    if new[2] ~= old[2] then return new[2] < old[2] end
    if new[3] ~= old[3] then return is_below(new[3], old[3]) end
    return is_below(new[4], old[4])
  end

  local function grow_by(void, sign)
    for i = 1, #void[6], 2 do grow(void[6][i], void[5], sign * void[6][i + 1]) end
  end

  for i = 1, #voids do
    local block, id, new = voids[i][1], voids[i][2], {unpack(voids[i], 3)}
    local void = void_of[id] or stored_void(block, id)
    local old = void.packed and unpack_value(void.packed)
    if not old or gives_way(old, new) then
      if old then grow_by(old, 1) end
      grow_by(new, -1)
      void.packed, void.is_new = pack(new), true
    end
    void_of[id] = void
  end
  for i = 1, #counters, 3 do -- so that each counter is there once
    local first_slot, metrics, growth = counters[i] * SLOTS_PER_DAY, counters[i + 1], counters[i + 2]
    local at = 1
    for k = 1, #metrics do
      for slot = at + 1, at + 2 * growth[at], 2 do
        grow(metrics[k], first_slot + growth[slot], growth[slot + 1])
      end
      at = at + 1 + 2 * growth[at]
    end
  end
  counters = {}
end

-- ---------------------------------------------------------------- 5. The days, as they are known
-- Of each: the second on the clock at which it was last changed, the series whose deltas
-- change, the counters that grow, and the deltas themselves.

-- UTC day -> its metrics that grow; and of each of these, in this order, how many slots do, then the
-- slot of the day and the amount of each. The worker sends them so.
local metrics_of, growth_of = {}, {}
for i = 1, #counters, 3 do
  metrics_of[counters[i]], growth_of[counters[i]] = counters[i + 1], counters[i + 2]
end
for metric, slots in pairs(counts) do
  local place_in = {} -- UTC day -> where its growth says how many slots of this metric there are
  for slot, amount in pairs(slots) do
    local day = floor(slot / SLOTS_PER_DAY)
    local growth = nest(growth_of, day) -- also where it comes to nothing: the day is touched
    if amount ~= 0 then
      local at, size = place_in[day], #growth
      if not at then
        at, size = size + 1, size + 1
        place_in[day], growth[at] = at, 0
        local metrics = nest(metrics_of, day)
        metrics[#metrics + 1] = metric
      end
      growth[at] = growth[at] + 1
      growth[size + 1], growth[size + 2] = slot - day * SLOTS_PER_DAY, amount
    end
  end
end

local touched = {} -- the UTC days that the events touch, and those whose deltas or counters change
do
  local is_there = {}
  for i = 1, #days do
    touched[i] = days[i]
    is_there[days[i]] = true
  end
  for day in pairs(deltas) do
    if not is_there[day] then touched[#touched + 1] = day end
    is_there[day] = true
  end
  for day in pairs(growth_of) do
    if not is_there[day] then touched[#touched + 1] = day end
  end
end
weigh(max(slots_changed, slots_counted), MOST_SLOTS)
if load > 100 and not one_event then return {TOO_MUCH, load} end

local fields_of = {} -- UTC day -> the fields of its hash: metrics, LAST_CHANGE, series
local place_of = {} -- UTC day -> which of these is LAST_CHANGE
local stored_of = {} -- UTC day -> the values of its fields
local day_keys = {} -- UTC day -> the key of its hash
local names_of, deltas_of = {}, {} -- UTC day -> series and slot, packed deltas, as in `deltas`
local pieces_changed = 0
for i = 1, #touched do
  local day = touched[i]
  local fields, series_of_day = metrics_of[day] or {}, deltas[day]
  local size = #fields + 1
  fields[size] = LAST_CHANGE
  fields_of[day], place_of[day] = fields, size
  if series_of_day then
    local names, changes = {}, {}
    for series, slots in pairs(series_of_day) do
      size = size + 1
      fields[size] = series
      for slot, seconds in pairs(slots) do
        names[#names + 1] = series .. "." .. slot
        changes[#names] = seconds
      end
    end
    local packed = call("HMGET", slot_deltas_key(head, day), unpack(names))
    for k = 1, #names do
      if packed[k] and byte(packed[k]) == PIECES_MARK then
        local seconds = 0
        for _ in pairs(changes[k]) do seconds = seconds + 1 end
        pieces_changed = pieces_changed + min(seconds, PIECES)
      end
    end
    names_of[day], deltas_of[day] = names, packed
  end
  day_keys[day] = day_key(head, day)
  stored_of[day] = call("HMGET", day_keys[day], unpack(fields))
end
weigh(pieces_changed, MOST_PIECES)
if load > 100 and not one_event then return {TOO_MUCH, load} end

-- ------------------------------------------------------------------ 6. From here on it is written
-- First the identities, sessions and voids, in tables that have grown for them.

local head_changes = {}

for i = 1, #identities, 2 do
  local block, ids = identities[i], identities[i + 1]
  local count, prefix = identity_counts[block] or 0, identities_prefix(head, block)
  local before = buckets_for(count, IDENTITIES_PER_BUCKET)
  local n = buckets_for(count + #ids, IDENTITIES_PER_BUCKET)
  local groups = groups_of[block]
  if not groups then groups = divide(ids, n, id_buckets)
  elseif n > before then grow_identities(prefix, before, n, groups) end
  local keys = bucket_keys[block] or {}
  for bucket, group in pairs(groups) do
    call("SADD", keys[bucket] or prefix .. bucket, unpack(group))
  end
  head_changes[#head_changes + 1] = count_fields[i]
  head_changes[#head_changes + 1] = count + #ids
end

do
  local n, prefix = head_fields[SESSION_BUCKETS] or 1, sessions_prefix(head)
  if new_sessions > 0 then
    local count = (head_fields[SESSION_COUNT] or 0) + new_sessions
    local wanted = max(n, buckets_for(count, SESSIONS_PER_BUCKET))
    head_changes[#head_changes + 1] = SESSION_COUNT
    head_changes[#head_changes + 1] = count
    if wanted > n then
      if session_groups then grow_sessions(prefix, n, wanted, session_groups) end
      head_changes[#head_changes + 1] = SESSION_BUCKETS
      head_changes[#head_changes + 1] = wanted
      n = wanted
    end
  end
  if not session_groups then
    local list = {}
    for key in pairs(changed_sessions) do list[#list + 1] = key end
    session_groups = divide(list, n, session_buckets)
  end
  for bucket, group in pairs(session_groups) do
    local set, size = {}, 0
    for i = 1, #group do
      local packed = changed_sessions[group[i]]
      if packed then
        set[size + 1], set[size + 2] = group[i], packed
        size = size + 2
      end
    end
    if size > 0 then call("HSET", session_bucket_keys[bucket] or prefix .. bucket, unpack(set)) end
  end
end

do
  local still_pending = pending
  for id, void in pairs(void_of) do
    if void.has_come then
      if void.was_pending then
        call("HDEL", pending_voids_key(head), id)
        still_pending = still_pending - 1
      end
      if void.was_pending or void.is_new then call("HSET", voids_key(head, void.block), id, void.packed) end
    elseif void.is_new then
      call("HSET", pending_voids_key(head), id, void.packed)
      if not void.was_pending then still_pending = still_pending + 1 end
    end
  end
  if still_pending == 0 and pending > 0 then
    call("HDEL", head, PENDING_VOIDS)
  elseif still_pending ~= pending then
    head_changes[#head_changes + 1] = PENDING_VOIDS
    head_changes[#head_changes + 1] = still_pending
  end
end

-- -------------------------------------------------------------------- 7. Deltas, and (net, rise)
-- The deltas of a slot are stored as slot_deltas.py says: few in one list, many in pieces.

-- Answers the sorted deltas of a slot or a piece, after `changes`, with how many numbers they are, net
-- and rise.
local function merge(old, changes)
  local added = {}
  for second, amount in pairs(changes) do
    if amount ~= 0 then added[#added + 1] = second end
  end
  if #added > 1 then table.sort(added) end
  local merged, size, level, rise = {}, 0, 0, -math.huge
  local i, n_old = 1, #old
  for j = 1, #added + 1 do
    local next_second = added[j] or math.huge
    local second = old[i]
    while i <= n_old and second < next_second do -- as nearly always
      local amount = old[i + 1]
      merged[size + 1], merged[size + 2] = second, amount
      size = size + 2
      level = level + amount
      if level > rise then rise = level end
      i = i + 2
      second = old[i]
    end
    if j <= #added then
      local amount = changes[next_second]
      if second == next_second then amount, i = amount + old[i + 1], i + 2 end
      if amount ~= 0 then
        merged[size + 1], merged[size + 2] = next_second, amount
        size = size + 2
        level = level + amount
        if level > rise then rise = level end
      end
    end
  end
  if merged[1] ~= 0 then rise = max(rise, 0) end -- what was there before begins the slot
  return merged, size, level, rise
end

local function in_one_list(head_of_pieces, bodies) -- the deltas of all pieces
  local all, size, at = {}, 0, 1
  for piece = 0, PIECES - 1 do
    local length = head_of_pieces[3 * piece + 3]
    if length > 0 then
      local deltas = unpack_value(sub(bodies, at, at + length - 1))
      for i = 1, #deltas, 2 do
        all[size + 1], all[size + 2] = piece * PIECE_SECONDS + deltas[i], deltas[i + 1]
        size = size + 2
      end
      at = at + length
    end
  end
  return all, size
end

-- Only the pieces in which something changes are rebuilt; net and rise combine those of all. A slot
-- may have thousands of bytes, so what is behind their head in `stored` is copied once.
local function change_pieces(head_of_pieces, stored, changes)
  local changes_of = {} -- piece -> second of the piece -> change
  for second, amount in pairs(changes) do
    local piece = floor(second / PIECE_SECONDS)
    nest(changes_of, piece)[second - piece * PIECE_SECONDS] = amount
  end
  local parts, at, copied, count = {""}, PIECES_HEAD + 1, PIECES_HEAD + 1, head_of_pieces[2]
  local net, rise = 0, nil
  for piece = 0, PIECES - 1 do
    local i = 3 * piece + 3
    local length, changed = head_of_pieces[i], changes_of[piece]
    if changed then
      local old = length > 0 and unpack_value(sub(stored, at, at + length - 1)) or {}
      local merged, size, piece_net, piece_rise = merge(old, changed)
      local body = size > 0 and pack(merged) or ""
      count = count + (size - #old) / 2
      parts[#parts + 1] = sub(stored, copied, at - 1)
      parts[#parts + 1] = body
      copied = at + length
      head_of_pieces[i], head_of_pieces[i + 1], head_of_pieces[i + 2] = #body, piece_net, piece_rise
    end
    at = at + length
    local highest = net + head_of_pieces[i + 2]
    if not rise or highest > rise then rise = highest end
    net = net + head_of_pieces[i + 1]
  end
  parts[#parts + 1] = sub(stored, copied)
  if count <= MOST_IN_ONE then
    local all, size = in_one_list(head_of_pieces, table.concat(parts))
    return size > 0 and pack(all) or nil, net, rise
  end
  head_of_pieces[2] = count
  parts[1] = pack_record(PIECES_FORMAT, unpack(head_of_pieces, 1, 3 * PIECES + 2))
  return table.concat(parts), net, rise
end

local function no_pieces()
  local empty = {PIECES_MARK, 0}
  for i = 3, 3 * PIECES + 2 do empty[i] = 0 end
  return empty
end

local function change_slot(known, changes) -- answers its deltas, packed (nil for none), net and rise
  if known and byte(known) == PIECES_MARK then
    return change_pieces({unpack_record(PIECES_FORMAT, known)}, known, changes)
  end
  local merged, size, net, rise = merge(known and unpack_value(known) or {}, changes)
  if size <= 2 * MOST_IN_ONE then return size > 0 and pack(merged) or nil, net, rise end
  local all = {}
  for i = 1, size, 2 do all[merged[i]] = merged[i + 1] end
  return change_pieces(no_pieces(), "", all)
end

-- Where the record of `slot` begins in records of `size` bytes sorted by slot, and whether it is
-- there; if not, it belongs there. The slot is the first byte of a record. Mostly it is the last.
local function place(records, slot, size)
  local low, high = 0, #records / size - 1
  if high < 0 then return 1, false end
  local last = byte(records, high * size + 1)
  if last < slot then return #records + 1, false end
  if last == slot then return high * size + 1, true end
  while low < high do
    local middle = floor((low + high) / 2)
    if byte(records, middle * size + 1) < slot then low = middle + 1 else high = middle end
  end
  return low * size + 1, byte(records, low * size + 1) == slot
end

local function put_record(records, slot, size, record) -- nil takes it away
  local at, is_there = place(records, slot, size)
  return sub(records, 1, at - 1) .. (record or "") .. sub(records, is_there and at + size or at)
end

local nets = {} -- block of days -> day of the block * SERIES + series -> growth

-- all: series -> slot -> second -> delta; stored: the fields of the day, the curves behind `at_field`.
local function change_curves(day, all, stored, at_field, set, gone)
  local key, names, found, x_set, x_gone = slot_deltas_key(head, day), names_of[day], deltas_of[day], {}, {}
  local at = 0
  for series, slots in pairs(all) do
    at_field = at_field + 1
    local old = stored[at_field] or ""
    local summary, day_net = old, 0
    for slot, changes in pairs(slots) do
      at = at + 1
      local field, known = names[at], found[at]
      local packed, net, rise = change_slot(known, changes)
      if packed then
        x_set[#x_set + 1], x_set[#x_set + 2] = field, packed
        summary = put_record(summary, slot, CURVE_RECORD, pack_record(CURVE_FORMAT, slot, net, rise))
      else
        if known then x_gone[#x_gone + 1] = field end
        summary = put_record(summary, slot, CURVE_RECORD, nil)
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
      nest(nets, block)[(day - block * DAYS_PER_BLOCK) * SERIES + tonumber(series)] = day_net
    end
  end
  if #x_set > 0 then call("HSET", key, unpack(x_set)) end
  if #x_gone > 0 then call("HDEL", key, unpack(x_gone)) end
end

-- ------------------------------------------------------------ 8. Counters, and the days as a whole

local function add_amount(records, slot, amount)
  local at = #records - AMOUNT_RECORD + 1
  local last = at > 0 and byte(records, at) or -1
  if last == slot then -- as mostly
    local _, known = unpack_record(AMOUNT_FORMAT, records, at)
    amount = amount + known
    local others = sub(records, 1, at - 1)
    return amount ~= 0 and others .. pack_record(AMOUNT_FORMAT, slot, amount) or others
  end
  if last < slot and amount ~= 0 then return records .. pack_record(AMOUNT_FORMAT, slot, amount) end
  local is_there
  at, is_there = place(records, slot, AMOUNT_RECORD)
  if is_there then
    local _, known = unpack_record(AMOUNT_FORMAT, records, at)
    amount = amount + known
  end
  local record = amount ~= 0 and pack_record(AMOUNT_FORMAT, slot, amount) or ""
  return sub(records, 1, at - 1) .. record .. sub(records, is_there and at + AMOUNT_RECORD or at)
end

local opened = {} -- the UTC days that nothing had changed before
for i = 1, #touched do
  local day = touched[i]
  local fields, stored, growth = fields_of[day], stored_of[day], growth_of[day]
  local behind_metrics = place_of[day]
  local set, gone, last = {}, {}, stored[behind_metrics]
  if not last then opened[#opened + 1] = day end
  if not last or tonumber(last) < now then set[1], set[2] = LAST_CHANGE, ARGV[4] end
  if deltas[day] then change_curves(day, deltas[day], stored, behind_metrics, set, gone) end
  local at, size = 1, #set
  for k = 1, behind_metrics - 1 do
    local records = stored[k] or ""
    local ends = at + 2 * growth[at]
    for slot = at + 1, ends, 2 do records = add_amount(records, growth[slot], growth[slot + 1]) end
    at = ends + 1
    if #records > 0 then
      set[size + 1], set[size + 2] = fields[k], records
      size = size + 2
    else
      gone[#gone + 1] = fields[k]
    end
  end
  if size > 0 then call("HSET", day_keys[day], unpack(set)) end
  if #gone > 0 then call("HDEL", day_keys[day], unpack(gone)) end
end

-- ------------------------------------------------------ 9. What a block of days does to the levels
-- Per block: the net of each series over all of it, then a record for each day and series with one.

do
  local blocks = {}
  for block in pairs(nets) do blocks[#blocks + 1] = block end
  if #blocks > 0 then
    local found, set, gone = call("HMGET", nets_key(head), unpack(blocks)), {}, {}
    for i, block in ipairs(blocks) do
      local old = found[i]
      local sums = {}
      if old then sums = {unpack_record(SUMS_FORMAT, old)}
      else for series = 1, SERIES do sums[series] = 0 end end
      local records = old and sub(old, SUM_BYTES * SERIES + 1) or ""
      for index, growth in pairs(nets[block]) do
        local series = index % SERIES + 1
        sums[series] = sums[series] + growth
        local at, is_there = place(records, index, NET_RECORD)
        local net = growth
        if is_there then
          local _, known = unpack_record(NET_FORMAT, records, at)
          net = net + known
        end
        local record = net ~= 0 and pack_record(NET_FORMAT, index, net) or nil
        records = put_record(records, index, NET_RECORD, record)
      end
      if #records > 0 then
        set[#set + 1] = block
        set[#set + 1] = pack_record(SUMS_FORMAT, unpack(sums, 1, SERIES)) .. records
      elseif old then
        gone[#gone + 1] = block
      end
    end
    if #set > 0 then call("HSET", nets_key(head), unpack(set)) end
    if #gone > 0 then call("HDEL", nets_key(head), unpack(gone)) end
  end
end

-- --------------------------- 10. The head: open days, and the fences, so that none of this is ever
-- applied again.

do
  local blocks = {} -- block -> bits
  for _, day in ipairs(opened) do
    local block = floor(day / DAYS_PER_BLOCK)
    if not open_in[block] then learn(block) end
    blocks[block] = (blocks[block] or open_in[block]) + 2 ^ (day - block * DAYS_PER_BLOCK)
  end
  for block, bits in pairs(blocks) do
    head_changes[#head_changes + 1] = open_days_field(block)
    head_changes[#head_changes + 1] = string.format("%.0f", bits)
  end
end
for i = 1, #fences, 3 do
  head_changes[#head_changes + 1] = fence_fields[i]
  head_changes[#head_changes + 1] = fences[i + 2]
end
call("HSET", head, unpack(head_changes))
return {APPLIED, load}
