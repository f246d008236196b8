#!lua
-- Tells which nodes live, and how many connections each has; drops those whose lease is over.
--
-- KEYS  nodes: a hash of 'until|counts', until in milliseconds of the server's clock
-- ARGV  nothing; or a node that lives, the milliseconds of its lease, and its counts
-- Returns for each living node its name and its counts.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] then
  local over = string.format('%.0f', now + ARGV[2])
  redis.call('HSET', KEYS[1], ARGV[1], over .. '|' .. ARGV[3])
end
local living = {}
local nodes = redis.call('HGETALL', KEYS[1])
for i = 1, #nodes, 2 do
  local over, counts = string.match(nodes[i + 1], '^(%d+)|(.*)$')
  if over and tonumber(over) > now then
    table.insert(living, nodes[i])
    table.insert(living, counts)
  else
    redis.call('HDEL', KEYS[1], nodes[i])
  end
end
return living
