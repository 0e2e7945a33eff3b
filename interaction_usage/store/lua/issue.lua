-- Keep an issued report, unless its account has one with this number.
--
-- KEYS[1]  the entries of the account's reports, a hash
-- KEYS[2]  the report with this number
-- ARGV[1]  the number
-- ARGV[2]  its entry
-- ARGV[3]  the whole report
-- ARGV[4]  the field of the newest report of its period
--
-- The first record with a number is that report; later ones were written by somebody who did not
-- know of it yet. So the result follows from the order of the topic, and does not depend on how
-- often, or by how many readers, a record is applied.

local entries, report, number = KEYS[1], KEYS[2], ARGV[1]
local call = redis.call

if call("HEXISTS", entries, number) == 1 then
  return 0
end
call("SET", report, ARGV[3])
call("HSET", entries, number, ARGV[2])
local newest = call("HGET", entries, ARGV[4])
if not newest or cjson.decode(newest).ordinal < tonumber(number) then
  call("HSET", entries, ARGV[4], ARGV[2])
end
return 1
