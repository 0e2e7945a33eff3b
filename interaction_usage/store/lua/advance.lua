-- Move positions forward, never back: a worker that lost its partitions may still be writing.
--
-- KEYS[1]  the hash of positions: field -> "offset second"
-- ARGV     field, offset, second, field, offset, second, ...; the second of the last record's
--          timestamp, empty where none was read

for i = 1, #ARGV, 3 do
  local known_offset, known_second = -1, ""
  local known = redis.call("HGET", KEYS[1], ARGV[i])
  if known then
    known_offset, known_second = known:match("^(%d+) ?(%-?%d*)$")
    known_offset = tonumber(known_offset)
  end
  local offset, second = tonumber(ARGV[i + 1]), ARGV[i + 2]
  if second == "" or (known_second ~= "" and tonumber(known_second) > tonumber(second)) then
    second = known_second
  end
  if offset > known_offset or (offset == known_offset and second ~= known_second) then
    redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1] .. " " .. second)
  end
end
return #ARGV / 3
