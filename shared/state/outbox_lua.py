"""The scripts of the outbox. Each may be said twice: the second time it changes nothing, and answers the same."""

from shared.core import keys
from shared.state.events import LUA_KEEP
from shared.state.lease import LUA_OWNER

_HEAD = (
    LUA_OWNER
    + LUA_KEEP
    + f"""
local MESSAGE_TTL, TEXT_TTL, OUTBOX_TTL, ONCE_TTL = {keys.MESSAGE_TTL}, {keys.SUBJECT_TTL}, {keys.OUTBOX_TTL}, {keys.ONCE_TTL}
local function mark(message, ...)
  redis.call('HSET', message, ...)
  redis.call('PEXPIRE', message, MESSAGE_TTL)
end
local function look_later(outboxes, session, ms)
  redis.call('ZADD', outboxes, now_ms() + ms, session)
  redis.call('PEXPIRE', outboxes, OUTBOX_TTL)
end
"""
)

# KEYS outbox, message, text, outboxes, once   ARGV session, id, to, text, most, hash of the message, ms until a sweep looks
# Returns `id:hash` of the text that is kept, or 'full'.
ACCEPT = (
    _HEAD
    + """
local mine = ARGV[2] .. ':' .. ARGV[6]
if redis.call('EXISTS', KEYS[2]) == 1 then return mine end
local known = KEYS[5] and redis.call('GET', KEYS[5])
if known then return known end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[5]) then return 'full' end
if KEYS[5] then redis.call('SET', KEYS[5], mine, 'PX', ONCE_TTL) end
mark(KEYS[2], 'state', 'queued', 'acceptedAt', now_ms())
redis.call('HSET', KEYS[3], 'to', ARGV[3], 'text', ARGV[4])
redis.call('PEXPIRE', KEYS[3], TEXT_TTL)
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], OUTBOX_TTL)
look_later(KEYS[4], ARGV[1], ARGV[7])
return mine
"""
)

# KEYS lease, leases, message, pace, outboxes   ARGV session, owner, cost (ms), reserve (ms), ms until a sweep looks
# Returns a word of Begun, and ms to wait. A message that Redis has forgotten is as good as one that waits.
BEGIN = (
    _HEAD
    + """
if not owned(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) then return {'lost', 0} end
local state, by = unpack(redis.call('HMGET', KEYS[3], 'state', 'by'))
if state == 'sending' and by == ARGV[2] then return {'go', 0} end
if state and state ~= 'queued' then return {'over', 0} end
look_later(KEYS[5], ARGV[1], ARGV[5])
local cost, now = tonumber(ARGV[3]), now_ms()
if cost > 0 then
  local used = math.max(now, tonumber(redis.call('GET', KEYS[4]) or 0)) + cost
  local over = used - now - ARGV[4]
  if over > 0 then return {'wait', over} end
  redis.call('SET', KEYS[4], string.format('%d', used), 'PX', used - now)
end
mark(KEYS[3], 'state', 'sending', 'by', ARGV[2], 'sendingAt', now)
return {'go', 0}
"""
)

# KEYS message
REQUEUE = (
    _HEAD
    + """
if redis.call('HGET', KEYS[1], 'state') == 'sending' then mark(KEYS[1], 'state', 'queued') end
"""
)

# KEYS message, outbox, text, outboxes, sent or '', webhook, webhooks
# ARGV session, id, state, at, reason, status, whatsapp id, event id, event type, event body
# Returns whether this end is the first.
SETTLE = (
    _HEAD
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'queued' and state ~= 'sending' then return 0 end
mark(KEYS[1], 'state', ARGV[3], ARGV[3] .. 'At', ARGV[4])
for field, value in pairs({reason = ARGV[5], status = ARGV[6], whatsappId = ARGV[7]}) do
  if value ~= '' then redis.call('HSET', KEYS[1], field, value) end
end
redis.call('LREM', KEYS[2], 1, ARGV[2])
redis.call('DEL', KEYS[3])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[4], ARGV[1]) end
if KEYS[5] ~= '' then redis.call('SET', KEYS[5], ARGV[2], 'PX', MESSAGE_TTL) end
if KEYS[6] then keep({KEYS[6], KEYS[7]}, ARGV[8], ARGV[9], ARGV[10], 0) end
return 1
"""
)
