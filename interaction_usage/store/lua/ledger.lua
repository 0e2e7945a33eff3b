-- Apply records of a topic to a hash, and keep up to where the topic is in it, at once.
--
-- KEYS[1]  a hash: place -> the offset up to which its records are applied
-- KEYS[2]  the hash that they are applied to
-- ARGV[1]  the place
-- ARGV[2]  the offset from which on the records are here: everything before it must be applied
-- ARGV[3]  the offset up to which it is applied then
-- ARGV[4]  and so on: offset, field, and value; an empty value deletes the field
--
-- Records below the position are skipped: they were applied, and a later one may have changed the
-- field since. Answers 1 if all is there then, and 0 where it changes nothing: the place has no
-- position, so what the hash has must be published first; or one below the first of these records,
-- as where Redis lost its last writes, so what lies between must be read first.

local read, hash, place, begin, stop = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

local at = tonumber(call("HGET", read, place))
if not at or at < begin then
  return 0
end
for i = 4, #ARGV, 3 do
  if tonumber(ARGV[i]) >= at then
    if ARGV[i + 2] == "" then
      call("HDEL", hash, ARGV[i + 1])
    else
      call("HSET", hash, ARGV[i + 1], ARGV[i + 2])
    end
  end
end
if stop > at then
  call("HSET", read, place, ARGV[3])
end
return 1
