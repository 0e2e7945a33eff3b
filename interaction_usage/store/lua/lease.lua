-- Take or keep a lease that one process has at a time.
--
-- KEYS[1]  the lease: "fence name"
-- KEYS[2]  the number of the newest fence
-- ARGV[1]  the name of the process
-- ARGV[2]  milliseconds for which it has the lease then
--
-- Answers the fence of the process, or 0 where another one has the lease. Whoever takes the lease
-- gets a higher fence than all before it.

local call = redis.call
local taken = call("GET", KEYS[1])
local fence, name = string.match(taken or "", "^(%d+) (.*)$")
if taken and name ~= ARGV[1] then
  return 0
end
fence = fence or call("INCR", KEYS[2])
call("SET", KEYS[1], string.format("%.0f %s", tonumber(fence), ARGV[1]), "PX", ARGV[2])
return tonumber(fence)
