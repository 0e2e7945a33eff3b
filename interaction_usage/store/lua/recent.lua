-- Read the last days of accounts, and some slots of their curves second by second.
--
-- KEYS     the heads of accounts: some dozens, about 10 microseconds each
-- ARGV[1]  what is read of each, packed with MessagePack: blocks, days, fields of each day, and
--          curves, as a day and its fields of deltas, one pair after the other
--
-- Answers a list for each account: for each block the bits of its closed and sealed days; the nets
-- of all blocks; then the fields of each day, and those of each curve. Each account is read as of one
-- moment.
--
-- One command for many accounts: what a command costs its client is more than what it does here.

local call = redis.call
local blocks, days, fields, curves = unpack(cmsgpack.unpack(ARGV[1]))
local asked = {}
for i = 1, #blocks do asked[i] = sealed_days_field(blocks[i]) end

local answer = {}
for i = 1, #KEYS do
  local head = KEYS[i]
  local found = {call("HMGET", head, unpack(asked)), call("HGETALL", nets_key(head))}
  for j = 1, #days do
    found[#found + 1] = call("HMGET", day_key(head, days[j]), unpack(fields))
  end
  for j = 1, #curves, 2 do
    local key = slot_deltas_key(head, curves[j])
    found[#found + 1] = call("HMGET", key, unpack(curves[j + 1]))
  end
  answer[i] = found
end
return answer
