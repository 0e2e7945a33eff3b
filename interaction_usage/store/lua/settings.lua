-- Set fields of one account's settings, and keep what changed in its history, at once.
--
-- KEYS[1]  the account's settings
-- KEYS[2]  its history, a stream
-- ARGV[1]  who changes them
-- ARGV[2]  the id of their token, or nothing
-- ARGV[3]  "1" for an operator, or nothing
-- ARGV[4]  and so on: field, value, and the value that an account has where the field was never set
--
-- The old value is read here, so that each of two concurrent changes has an entry of its own, and the
-- later one names the value of the earlier one. Redis numbers an entry with the time.

local settings, history = KEYS[1], KEYS[2]
local by, token, operator = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

call("HSET", settings, "set", 1) -- so that it exists, whatever else is given
for i = 4, #ARGV, 3 do
  local field, value, default = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local before = call("HGET", settings, field) or default
  call("HSET", settings, field, value)
  if before ~= value then
    call("XADD", history, "*", "by", by, "token", token, "operator", operator,
         "field", field, "from", before, "to", value)
  end
end
