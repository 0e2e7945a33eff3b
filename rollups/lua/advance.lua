-- Move positions forward, never back: a worker that lost its partitions may still be speaking.
--
-- KEYS[1]  the hash of positions
-- ARGV     field, offset, field, offset, ...

for i = 1, #ARGV, 2 do
  local known = redis.call("HGET", KEYS[1], ARGV[i])
  if not known or tonumber(known) < tonumber(ARGV[i + 1]) then
    redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return #ARGV / 2
