--[[
Lets mail through that was released from Lazaret, once (docs/release.md). To be put at /etc/rspamd/lua.local.d/lazaret-release.lua.

A release carries X-Lazaret-Release, signed by Lazaret for this recipient and this body, one signature for each try. What
does not verify here has passed nothing: the message is judged like any other. Runs before the message is read, so that
nothing the message may hold, GTUBE included, is seen first.

Needs the key (`lazaret release-key --file`) and a Redis, which remembers what has passed. Several Rspamds that share a
Redis let a message through once between them.
]]

local key_file = '/etc/rspamd/lazaret-release.key'

local hash = require 'rspamd_cryptobox_hash'
local logger = require 'rspamd_logger'
local lua_redis = require 'lua_redis'
local util = require 'rspamd_util'

local N = 'lazaret_release'
local symbol = 'LAZARET_RELEASED'
-- Above everything a message can bring about by itself: GTUBE is "critical", 3.
local priority = 100
local longest_header = 1048576
local longest_value = 2000
local most_values = 4

local function read_key()
  local file, problem = io.open(key_file, 'r')
  if not file then return nil, problem end
  local hex = file:read('*a'):gsub('%s+', '')
  file:close()
  if not hex:match('^' .. string.rep('%x', 64) .. '$') then return nil, key_file .. ' does not hold 64 hex digits' end
  return (hex:gsub('%x%x', function(digits) return string.char(tonumber(digits, 16)) end))
end

local key, problem = read_key()
local redis = lua_redis.parse_redis_server(N)
if not key then
  logger.errx(rspamd_config, '%s: no release is let through: %s', N, problem)
  return
end
if not redis then
  logger.errx(rspamd_config, '%s: no release is let through: no Redis is configured', N)
  return
end

local function base64url(text) return (text:gsub('+', '-'):gsub('/', '_'):gsub('=+$', '')) end

local function sha256(text) return hash.create_specific('sha256', text):hex() end

-- The header of the message as it came, and where its body begins; nothing is parsed yet.
local function header_of(content)
  local head = tostring(content:span(1, math.min(#content, longest_header)))
  local _, crlf = head:find('\r\n\r\n', 1, true)
  local _, lf = head:find('\n\n', 1, true)
  local last = crlf and lf and math.min(crlf, lf) or crlf or lf
  if not last then return nil end
  return head:sub(1, last), last + 1
end

-- Values of X-Lazaret-Release, without any blanks.
local function values(header)
  local found, name = {}, '\nx-lazaret-release:'
  local text = '\n' .. header
  local lower = text:lower()
  local at = 1
  while #found < most_values do
    local _, last = lower:find(name, at, true)
    if not last then break end
    local stop = last + 1
    repeat
      local line_end = text:find('\n', stop, true) or #text
      stop = line_end + 1
    until not text:sub(stop, stop):match('[ \t]')
    if stop - last <= longest_value then found[#found + 1] = text:sub(last + 1, stop - 1):gsub('%s+', '') end
    at = stop - 1
  end
  return found
end

-- The parts of a value that our key has signed.
local function verified(value)
  local claims, sig = value:match('^(v1;id=%d+;drop=[%w_-]+;try=%d+;until=%d+;rcpt=[%w_-]*;body=%x+);sig=([%w_-]+)$')
  if not claims or #sig ~= 43 then return nil end
  local expected = base64url(hash.create_specific_keyed(key, 'sha256', 'lazaret release\n' .. claims):base64())
  if sha256(expected) ~= sha256(sig) then return nil end
  local id, deadline, rcpt, body = claims:match('id=(%d+);.*;until=(%d+);rcpt=([%w_-]*);body=(%x+)$')
  return { id = id, deadline = tonumber(deadline), rcpt = rcpt, body = body, sig = sig }
end

-- One address, one form: "odd name"@a.example may be told with its quotes or without.
local function plain(address)
  address = address:lower()
  local name, domain = address:match('^"(.*)"(@[^@]*)$')
  return name and name:gsub('\\(.)', '%1') .. domain or address
end

local function is_for(task, token)
  local recipients = task:get_recipients('smtp')
  if not recipients or #recipients == 0 then return false end
  local padded = token.rcpt:gsub('-', '+'):gsub('_', '/') .. string.rep('=', -#token.rcpt % 4)
  local address = plain(tostring(util.decode_base64(padded)))
  for _, recipient in ipairs(recipients) do
    if plain(recipient.addr) ~= address then return false end
  end
  return true
end

-- Lines may have come to end with LF on the way here.
local function is_body(content, from, token)
  if from > #content then return sha256('') == token.body end
  local body = content:span(from)
  return sha256(body) == token.body or sha256((tostring(body):gsub('\r?\n', '\r\n'))) == token.body
end

local function let_through(task, token)
  task:set_flag('no_stat')
  task:insert_result(symbol, 1.0, token.id)
  task:set_pre_result({ action = 'no action', message = 'released from quarantine', module = N, score = 0.0, priority = priority })
end

-- Once: the first passage is remembered, and only the same passage may come again (an MTA that had to wait).
local function once(task, token, header)
  local name = N .. ':' .. token.sig
  local passage = task:get_queue_id()
  if not passage or passage == '' or passage == 'undef' then passage = sha256(header) end
  local ttl = tostring(math.max(1, math.ceil(token.deadline - util.get_time())))
  local function ask(command, arguments, answer)
    local asked = lua_redis.redis_make_request(task, redis, name, command == 'SET', function(failed, reply)
      if failed then logger.errx(task, '%s: Redis: %s; not let through', N, failed) else answer(reply) end
    end, command, arguments)
    if not asked then logger.errx(task, '%s: Redis cannot be asked; not let through', N) end
  end
  ask('SET', { name, passage, 'EX', ttl, 'NX' }, function(set)
    if set == 'OK' then return let_through(task, token) end
    ask('GET', { name }, function(seen)
      if seen == passage then let_through(task, token)
      else logger.infox(task, '%s: entry %s was let through before; not again', N, token.id) end
    end)
  end)
end

local function check(task)
  local content = task:get_content()
  if not content or #content == 0 then return end
  local header, body = header_of(content)
  if not header then return end
  for _, value in ipairs(values(header)) do
    local token = verified(value)
    if token then
      if token.deadline < util.get_time() then logger.infox(task, '%s: entry %s: too late', N, token.id)
      elseif not is_for(task, token) then logger.infox(task, '%s: entry %s: for somebody else', N, token.id)
      elseif not is_body(content, body, token) then logger.infox(task, '%s: entry %s: another body', N, token.id)
      else return once(task, token, header) end
    end
  end
end

rspamd_config:register_symbol({
  name = symbol,
  type = 'connfilter',
  callback = check,
  priority = 10,
  flags = 'empty,nostat',
  score = 0.0,
  group = 'lazaret',
  description = 'Released from quarantine: signed, for this recipient, for the first time',
})
