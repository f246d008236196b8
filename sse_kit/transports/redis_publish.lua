#!lua
-- Appends publications to the log of a namespace, each once by its key, and trims the log.
--
-- KEYS  meta, log, forks, spare, then for each publication where its key is remembered
-- ARGV  a fresh name for an epoch; milliseconds for which keys are remembered; records, bytes and
--       milliseconds to keep ('' is no bound); then for each publication its topics, its payload
-- Returns the epoch, then for each publication its offset, and 1 if it was there before.
--
-- meta  life, epoch, first, last: what is kept; size: bytes ever appended
-- log   a stream; the record with offset n is the entry n-0
-- forks the last offset that each earlier epoch has in common with the present one
--
-- Without publications it only sees to it that there is a log, and that it is in order.

local meta, log, forks, spare = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local fresh, window = ARGV[1], ARGV[2]
local max_records, max_bytes, max_age = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local KEYS_BEFORE, ARGV_BEFORE = 4, 5

local function whole(number)
  return string.format('%.0f', number)
end

local function id(offset)
  return whole(offset) .. '-0'
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state = redis.call('HMGET', meta, 'life', 'epoch', 'first', 'last', 'size')
local epoch, first, last, size = state[2], tonumber(state[3]), tonumber(state[4]), tonumber(state[5])

-- The life of a server ends when it restarts (run_id) and when it becomes a primary
-- (master_replid). After that the log may be an older one than before, and offsets that were told
-- already would be given to other records: so each life has an epoch of its own.
local function begin(life)
  redis.call('XLEN', log) -- an error, if another program has a key of that name
  redis.call('HLEN', forks)
  redis.call('DEL', log, forks)
  epoch, first, last, size = fresh, 1, 0, 0
  redis.call('HSET', meta, 'life', life, 'epoch', epoch, 'first', 1, 'last', 0, 'size', 0)
end

local function fork(life)
  local known = redis.call('HGETALL', forks)
  for i = 1, #known, 2 do
    local common = tonumber(known[i + 1])
    if common > last then
      redis.call('HSET', forks, known[i], whole(last))
    elseif common < first - 1 then
      redis.call('HDEL', forks, known[i])
    end
  end
  redis.call('HSET', forks, epoch, whole(last))
  epoch = fresh
  redis.call('HSET', meta, 'life', life, 'epoch', epoch)
end

-- Entries that something else wrote into the stream come after the last record. They are given the
-- next offsets, with a payload that is none: readers skip them, and no later record is lost.
local adopt

local function write(stream, topics, payload)
  local fields = {
    'epoch', epoch, 'at', whole(now), 'before', whole(size), 'topics', topics, 'payload', payload
  }
  local added = redis.pcall('XADD', stream, id(last + 1), unpack(fields))
  if type(added) == 'table' and added.err then
    -- Something else wrote an entry with a later id, and deleted it: the stream remembers the id.
    if stream == spare or not string.find(added.err, 'equal or smaller', 1, true) then
      error(added)
    end
    adopt()
    redis.call('XADD', stream, id(last + 1), unpack(fields))
  end
  last = last + 1
  size = size + #topics + #payload
  redis.call('HSET', meta, 'last', whole(last), 'size', whole(size))
end

function adopt()
  local strangers = redis.call('XRANGE', log, '(' .. id(last), '+')
  local start = '-'
  redis.call('DEL', spare)
  repeat
    local kept = redis.call('XRANGE', log, start, id(last), 'COUNT', 100)
    for _, entry in ipairs(kept) do
      redis.call('XADD', spare, entry[1], unpack(entry[2]))
      start = '(' .. entry[1]
    end
  until #kept < 100
  for _, entry in ipairs(strangers) do
    write(spare, '', 'no record of sse_kit: ' .. table.concat(entry[2], ' '))
  end
  redis.call('DEL', log)
  if redis.call('EXISTS', spare) == 1 then
    redis.call('RENAME', spare, log)
  end
end

-- Where a key was stored, if that is still part of the log.
local function find(key)
  local known = redis.call('GET', key)
  if not known then
    return nil
  end
  local name, offset = string.match(known, '^(.*):(%d+)$')
  if not name then
    return nil
  end
  offset = tonumber(offset)
  local common = last
  if name ~= epoch then
    common = tonumber(redis.call('HGET', forks, name) or -1)
  end
  return offset and offset <= common and offset or nil
end

-- Each entry tells how many bytes were appended before it, so the size of what is kept needs no
-- counting. The newest record stays, however large it is.
local function excess(head)
  local at, before = tonumber(head[2][4]), tonumber(head[2][6])
  if max_age and now - at > max_age then
    return true
  end
  return max_bytes and size - before > max_bytes and head[1] ~= id(last)
end

local function trim()
  local keep = first
  if max_records and last - max_records >= keep then
    keep = last - max_records + 1
  end
  while keep <= last do
    local head = redis.call('XRANGE', log, id(keep), '+', 'COUNT', 1)[1]
    if not head then
      break
    end
    keep = tonumber(string.match(head[1], '^%d+')) -- what was before it expired, or was deleted
    if not excess(head) then
      break
    end
    keep = keep + 1
  end
  if keep > first then
    redis.call('XTRIM', log, 'MINID', id(keep))
    redis.call('HSET', meta, 'first', whole(keep))
  end
  -- If nobody publishes any more, the log grows too old as a whole.
  if max_age then
    redis.call('PEXPIRE', log, whole(max_age))
  else
    redis.call('PERSIST', log)
  end
end

local info = redis.call('INFO', 'server', 'replication')
local life = string.match(info, 'run_id:(%w+)') .. ':' .. string.match(info, 'master_replid:(%w+)')
if not epoch then
  begin(life)
elseif state[1] ~= life then
  fork(life)
end
if #redis.call('XRANGE', log, '(' .. id(last), '+', 'COUNT', 1) > 0 then
  adopt()
end

local answer = {epoch}
local tried = false
for i = 1, #KEYS - KEYS_BEFORE do
  local key = KEYS[KEYS_BEFORE + i]
  local offset = find(key)
  answer[2 * i + 1] = offset and 1 or 0
  if not offset then
    if not tried then
      -- What fails (a right, a window) fails before the record is there: else each retry adds one.
      redis.call('SET', key, '', 'PX', window)
      tried = true
    end
    write(log, ARGV[ARGV_BEFORE + 2 * i - 1], ARGV[ARGV_BEFORE + 2 * i])
    offset = last
    redis.call('SET', key, epoch .. ':' .. whole(offset), 'PX', window)
  end
  answer[2 * i] = offset
end
trim()
return answer
