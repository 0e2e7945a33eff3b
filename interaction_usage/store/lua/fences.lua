-- Add up the fences of accounts: every change of an account moves one of them, and none ever back.
--
-- KEYS  the heads of accounts, at most some hundreds: a few microseconds each
--
-- Answers a number for each, as a string: sums may exceed what an answer takes as a number.

local call, sub = redis.call, string.sub
local prefix = fence_field("")
local answer = {}
for i = 1, #KEYS do
  local head, sum = call("HGETALL", KEYS[i]), 0
  for j = 1, #head, 2 do
    if sub(head[j], 1, #prefix) == prefix then sum = sum + tonumber(head[j + 1]) + 1 end
  end
  answer[i] = string.format("%.0f", sum)
end
return answer
