-- Every script of the product: one file, so that its guarantees are read in one place.
--
-- shared/scripts.py cuts out of it what one script needs, with `facts` (the lifecycle, lives of keys, buckets) put before it:
--   KEYS     the names, in the order of their roles
--   ARGV[1]  the script's name; it says what is done, below under "Scripts"
--   ARGV[2]  the roles of KEYS, joined by commas: `key.claim` is the name of the session's claim (shared/scripts.py)
--   ARGV[3]  one JSON object of named arguments: `arg`
--   ARGV[4]  a mark of this one call; empty for a script that only looks
-- The answer is JSON; on further lines behind it the names whose odd value was thrown away.
--
-- A script that is said twice under one mark is done once, and answers the same again: redis-py repeats a command whose
-- answer was lost. What a script gives beside its answer is not kept for that: a text, which lies nowhere else for long.
-- All times are Redis' own; a caller hands in durations.

local key, arg = {}, {}
local odd = {} -- names that held what is none of ours

local NOBODY = 'nobody' -- a worker that never lives: it has the leases whose owner went away in the middle of something

-- Small help -----------------------------------------------------------------------------------------------------------

local WRONG = { 'WRONGTYPE', 'is not an integer', 'would overflow', 'exhausted the last possible ID' }

-- What another program has put under our name, of another type, is thrown away and counted; then the command is said again.
-- Any other error is raised by that, in Redis' own words.
local function call(command, ...)
  local answer = redis.pcall(command, ...)
  local fault = type(answer) == 'table' and answer.err
  if not fault then return answer end
  local name, field = ...
  fault = tostring(fault)
  for i, words in ipairs(WRONG) do
    if string.find(fault, words, 1, true) then
      if command == 'HINCRBY' and i > 1 then redis.call('HDEL', name, field) else redis.call('DEL', name) end
      odd[#odd + 1] = name
      break
    end
  end
  return redis.call(command, ...)
end

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Numbers of more than 14 digits would else be written in short.
local function whole(number)
  return string.format('%.0f', number)
end

local function decoded(text)
  local fine, value = pcall(cjson.decode, text)
  return fine and type(value) == 'table' and value or nil
end

-- A number of ours: digits, as many as JSON keeps. Anything else is none.
local function digits(text)
  return text and #text <= 14 and string.find(text, '^%d+$') and tonumber(text) or nil
end

-- Whether a name is there that lapses by itself, within `most` ms. One that never will was put there by somebody else.
-- By a clock that the host sets back, up to a minute, what lapses lives longer by as much.
local function lapses(name, most)
  local left = call('PTTL', name)
  return left > 0 and left <= (most or math.huge) + facts.minute
end

-- Names of ours are printable; one that is not could not even be told by JSON.
local function is_strange(name)
  return string.find(name, '[^\32-\126]') ~= nil
end

local function read_hash(name)
  local flat, found = call('HGETALL', name), {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function append(list, text)
  call('RPUSH', list, text)
  call('LTRIM', list, -facts.timeline_length, -1)
  call('PEXPIRE', list, facts.timeline_ttl)
end

-- Workers and leases ---------------------------------------------------------------------------------------------------

local function worker_of(owner)
  return owner and string.match(owner, '^(.*):%x+$')
end

local function token_of(owner)
  return tonumber(string.match(owner, ':(%d+)$') or nil) or 0
end

-- The heartbeat of a worker is one key; with it all leases of the worker live and lapse.
local function lives(worker)
  return worker and lapses(key.alive_of .. worker, facts.lease)
end

local function sign_of_life(worker, beat)
  local name = key.alive_of .. worker
  -- A longer life needs no room. After this first write a full Redis takes the others of the script, too.
  if call('PEXPIRE', name, facts.lease) == 1 and not beat then return end
  call('SET', name, beat or '0', 'PX', facts.lease)
  call('ZADD', key.workers, whole(now_ms()), worker)
end

-- The session's owner, as `worker:token`: its lease names it, and its worker lives.
local function owner_of_session()
  local owner = call('GET', key.lease)
  return owner and lives(worker_of(owner)) and owner or nil
end

-- Tokens only grow, also over a Redis that lost its memory: a new counter begins at the ms since 2026. `held`: a token
-- that was given before, which a Redis that went back may have forgotten.
local function next_token(fence, held)
  local token = call('INCR', fence)
  local is_ours = token > 0 and digits(whole(token))
  local least = (token == 1 or not is_ours) and now_ms() - 1767225600000 or 0
  if held then least = math.max(least, held + 1) end
  if token < least or not is_ours then
    token = least
    call('SET', fence, whole(token))
  end
  return token
end

-- `by` is the worker that ends or takes the ownership. A living owner learns at its next heartbeat that it was another.
local function note_taking(worker)
  if worker == NOBODY then return end
  call('INCR', key.taken_of .. worker)
  call('PEXPIRE', key.taken_of .. worker, facts.lease_key_ttl)
end

local function forget_holder(by)
  local worker = worker_of(call('GET', key.lease))
  if not worker then return end
  call('SREM', key.held_of .. worker, arg.session)
  if worker ~= by then note_taking(worker) end
end

local function name_owner(worker, token)
  forget_holder(worker)
  call('SET', key.lease, worker .. ':' .. whole(token), 'PX', facts.lease_key_ttl)
  call('SADD', key.held_of .. worker, arg.session)
  call('PEXPIRE', key.held_of .. worker, facts.lease_key_ttl)
end

-- The fence moves with it: an owner that wakes up late and finds no lease must not take Redis for a forgetful one.
local function end_ownership()
  forget_holder(nil)
  call('DEL', key.lease)
  return next_token(key.fence)
end

-- Redis was away, or went back to an earlier state: it may take the living for the dead, and the linked for the waiting.
-- Owners speak first; nobody judges them meanwhile.
local function settles()
  return lapses(key.settling, facts.settling)
end

-- Jobs -----------------------------------------------------------------------------------------------------------------

-- Puts a job into its queue, unless it is there already. `delay` and `kept` are ms: until it is due, and for how long its
-- body outlives that.
local function enqueue(job)
  local name = key.job_of .. job.id
  if call('EXISTS', name) == 0 then
    call('SET', name, job.body, 'PX', whole(job.delay + job.kept))
    call('ZADD', key.queue, whole(now_ms() + job.delay), job.id)
  end
end

-- The job that serves an attempt which the script itself has just numbered.
local function enqueue_link(attempt)
  local number = whole(attempt)
  key.queue = key.queue_linking
  enqueue({
    id = arg.job.id .. number,
    body = arg.job.before .. number .. arg.job.after,
    delay = 0,
    kept = arg.job.kept,
  })
  call('PUBLISH', key.queue .. ':wake', '1')
end

-- Counters: the notation is that of shared/telemetry/metrics.py ----------------------------------------------------------

-- A histogram is one field for each bucket that was hit (not cumulated), and one for the sum in ms.
local function observe(name, ms)
  local base, labels = string.match(name, '^([%a_]+){(.*)}$')
  local le = '+Inf'
  for _, bound in ipairs(facts.buckets[base]) do
    if ms <= bound then
      le = string.format('%g', bound / 1000)
      break
    end
  end
  call('HINCRBY', key.stats, base .. '_bucket{' .. labels .. ',le="' .. le .. '"}', 1)
  call('HINCRBY', key.stats, base .. '_ms{' .. labels .. '}', whole(ms))
end

-- Marks are only set in a subject that knows its click.
local function tally(counters)
  local have, reached = nil, {}
  for _, counter in ipairs(counters) do
    local mark, since, name = string.match(counter, '^@(%a+)<?(%a*) (.+)$')
    if not mark then
      call('HINCRBY', key.stats, counter, 1)
    else
      have = have or read_hash(key.subject)
      if not have[mark] then
        reached[mark] = now_ms()
        if since == '' then
          call('HINCRBY', key.stats, name, 1)
        elseif digits(have[since]) then
          observe(name, math.max(0, reached[mark] - digits(have[since])))
        end
      end
    end
  end
  if have and have.clicked then
    for mark, at in pairs(reached) do call('HSET', key.subject, mark, whole(at)) end
  end
end

-- Snapshots ------------------------------------------------------------------------------------------------------------

-- The newest snapshot: attempt, seq, body, and whether the body could be read. A session of which Redis knows nothing is
-- `unlinked`, with attempt 0.
local function present()
  local have = call('HMGET', key.snapshot, 'attempt', 'seq', 'body')
  local body = have[3] and decoded(have[3]) or nil
  local is_readable = body ~= nil and facts.steps[body.state] ~= nil
  if not is_readable then body = { state = 'unlinked' } end
  return digits(have[1]) or 0, digits(have[2]) or 0, body, is_readable
end

-- The attempt that runs, if one does.
local function claimed()
  return lapses(key.claim) and digits(call('GET', key.claim)) or nil
end

-- The lifecycle's one guard: no script writes a state but by `announce`. Where Redis knows nothing, or has gone back
-- (`restated`), the owner knows better; and who holds a device under a newer token may always say so.
local function check_step(attempt)
  local state = arg.change.state
  local known, _, body, is_readable = present()
  if known == 0 or arg.restated or not is_readable or facts.steps[body.state][state] then return end
  if arg.owner and attempt > known and facts.device[state] then return end
  error('ILLEGAL ' .. body.state .. ' ' .. state .. '!', 0)
end

-- A line for people, oldest first.
local function write_timeline(attempt, event, detail)
  local line = '{"at":%s,"attempt":%s,"event":%s,"detail":%s}'
  append(key.timeline, string.format(line, whole(now_ms()), attempt, cjson.encode(event), cjson.encode(detail)))
end

-- Events for the integrator ----------------------------------------------------------------------------------------------

local function link_of_session()
  local link = call('HGET', key.subject, 'link') or call('HGET', key.snapshot, 'link')
  link = link and string.match(link, '^[^:]*')
  return link and link ~= '' and string.find(link, '^[%w_-]+$') and link or nil
end

-- Calls the workers to the shelf. Whoever takes from it in the same step needs no call.
local is_fresh = false

local function call_to_shelf()
  is_fresh = true
  if not arg.takes then call('PUBLISH', key.webhooks, '1') end
end

-- Puts an event into the feed, and, if a receiver wants it, on the shelf: the service's own, or the company's. One that is
-- told a second time, after it was delivered, is delivered again.
local function tell(event, attempt, seq)
  local link = link_of_session()
  local body = event.body or string.format(
    '{"id":"%s","type":"%s","companyId":"%s","sessionId":"%s","at":%s,"version":{"attempt":%s,"seq":%s}%s%s}',
    event.id, event.type, event.company, arg.session, whole(event.at or now_ms()), whole(attempt), whole(seq),
    link and ',"linkId":"' .. link .. '"' or '', event.about)
  if not event.unfed then
    call('XADD', key.feed, 'MAXLEN', '~', facts.feed_length, '*', 'type', event.type, 'body', body)
    call('PEXPIRE', key.feed, facts.feed_ttl)
    call('PUBLISH', key.feed, '1')
  end
  if not event.wanted and call('EXISTS', key.receiver) == 0 then return end
  local name = key.webhook_of .. event.id
  call('HSET', name, 'type', event.type, 'company', event.company, 'body', body, 'since', whole(now_ms()), 'tries', 0)
  call('PEXPIRE', name, facts.webhook_ttl)
  call('ZADD', key.webhooks, whole(now_ms()), event.id)
  call('PEXPIRE', key.webhooks, facts.webhook_ttl)
  call_to_shelf()
end

-- An event that is no change of the snapshot.
local function tell_beside(event)
  local attempt, seq = present()
  tell(event, attempt, seq)
end

-- Remembers since when a session is without connection. Answers whether it is back that was told to be offline.
local function watch_connection(state)
  local known = call('HGET', key.snapshot, 'offline')
  if state == 'reconnecting' then
    if known then return false end
    call('HSET', key.snapshot, 'offline', 'noted')
    call('ZADD', key.offline, whole(now_ms() + facts.offline_ms), arg.session)
    call('PEXPIRE', key.offline, facts.lease_key_ttl)
    return false
  end
  if not known then return false end
  call('HDEL', key.snapshot, 'offline')
  call('ZREM', key.offline, arg.session)
  return known == 'told' and state == 'linked'
end

-- Saves a snapshot, announces it, writes the timeline, tells the integrator and counts: all of it or nothing.
local function announce(attempt, seq)
  local change = arg.change
  check_step(attempt)
  local number, place = whole(attempt), whole(seq)
  call('HSET', key.snapshot, 'attempt', number, 'seq', place, 'body', change.body)
  call('PEXPIRE', key.snapshot, facts.snapshot_ttl)
  call('PUBLISH', key.events,
    '{"type":"' .. change.type .. '","attempt":' .. number .. ',"seq":' .. place .. ',"body":' .. change.body .. '}')
  write_timeline(number, change.event, change.detail)
  if facts.running[change.state] then
    call('ZADD', key.claims, whole(now_ms() + (change.left or facts.claim_ttl)), arg.session)
    call('PEXPIRE', key.claims, facts.lease_key_ttl)
  else
    call('ZREM', key.claims, arg.session)
  end
  if seq == 1 then
    call('ZADD', key.sessions, 0, arg.session)
    call('PEXPIRE', key.sessions, facts.snapshot_ttl)
  end
  local back = watch_connection(change.state)
  if arg.event and (back or not arg.event.back) then tell(arg.event, attempt, seq) end
  tally(change.counters)
end

-- Scripts: requests and their ends -------------------------------------------------------------------------------------

local script = {}

local function write_subject()
  local subject, now = arg.subject, whole(now_ms())
  call('DEL', key.subject)
  call('HSET', key.subject, 'phone', subject.phone, 'expected', subject.expected, 'link', subject.link,
    'address', subject.address, 'clicked', now, 'asked', now)
  call('PEXPIRE', key.subject, facts.subject_ttl)
end

local function begin_attempt()
  check_step(math.huge)
  call('HSET', key.snapshot, 'link', arg.subject.link)
  if lapses(key.starts) then call('INCR', key.starts) else call('SET', key.starts, '1', 'PX', facts.starts_ttl) end
  local attempt = next_token(key.fence)
  call('SET', key.claim, whole(attempt), 'PX', facts.claim_ttl)
  write_subject()
  announce(attempt, 1)
  enqueue_link(attempt)
  return { outcome = 'started', attempt = attempt }
end

-- A link that expects a phone joins an attempt that expects none yet: from then on the attempt expects it. Answers false
-- if the attempt expects another, or makes a code for another, or if its phone has agreed already.
local function keep_expectation(body, joined)
  local wanted, expected = arg.subject.expected, call('HGET', key.subject, 'expected') or ''
  if wanted == '' or wanted == expected then return true end
  local coded = call('HGET', key.subject, 'phone') or ''
  if expected ~= '' or (coded ~= '' and coded ~= wanted) or not facts.cancellable[body.state] then return false end
  call('HSET', key.subject, 'expected', wanted)
  call('PEXPIRE', key.subject, facts.subject_ttl)
  joined.tightened = true
  return true
end

-- Refusal of a request whatever runs: by the standing of its link, or by one of some switches, as {name, code}. A spent link
-- may ask again if its device was lost at once. Answers the failure code, or nil.
local function refusal(body)
  local standing = call('GET', key.link)
  local lost = type(body.failure) == 'table' and body.failure.code == arg.lost
  if standing and not (standing == arg.spent and lost) then return arg.dead end
  for _, switch in ipairs(arg.switches) do
    if (call('HGET', key.switch, switch[1]) or '') ~= '' then return switch[2] end
  end
end

-- True if as many people wait for a place as there may: `crowd.most`, or without it `crowd.each` for each place of the
-- living workers, and `crowd.least`. Who has waited longer than `crowd.wait` ms waits no more, even if his job does.
local function is_crowded(crowd)
  local waiting = call('ZCOUNT', key.queue_linking, whole(now_ms() - crowd.wait), '+inf')
  local most = crowd.most or crowd.least
  if waiting < most or crowd.most then return waiting >= most end
  local places = 0
  for _, worker in ipairs(call('ZRANGE', key.workers, 0, -1)) do
    if lives(worker) then places = places + (digits(call('HGET', key.worker_of .. worker, 'maxAttempts')) or 0) end
  end
  return waiting >= math.max(most, places * crowd.each)
end

-- Of any number of requests one begins an attempt, with its job; the others join it, and may bring a phone.
function script.request()
  local number, _, body = present()
  local code = refusal(body)
  if code then return { outcome = 'refused', attempt = 0, code = code } end
  if facts.device[body.state] then return { outcome = 'linked', attempt = 0 } end
  local attempt = claimed()
  if not attempt and not facts.steps[body.state].queued then
    attempt = number -- its claim has run out, and its end is near
  elseif not attempt then
    if lapses(key.starts) and (digits(call('GET', key.starts)) or 0) >= arg.most_starts then
      return { outcome = 'limited', attempt = 0, retry_at = now_ms() + call('PTTL', key.starts) }
    end
    if is_crowded(arg.crowd) then return { outcome = 'crowded', attempt = 0, retry_at = now_ms() + facts.minute } end
    return begin_attempt()
  end
  local joined, phone = { outcome = 'joined', attempt = attempt, owner = owner_of_session() }, arg.subject.phone
  if not keep_expectation(body, joined) then
    joined.outcome = 'differs'
    return joined
  end
  if phone == '' then return joined end
  local known = call('HGET', key.subject, 'phone')
  if known and known ~= '' and known ~= phone then
    joined.outcome = 'differs'
    return joined
  end
  if known ~= phone then
    call('HSET', key.subject, 'phone', phone, 'asked', whole(now_ms()), 'address', arg.subject.address)
  end
  call('PEXPIRE', key.subject, facts.subject_ttl)
  return joined
end

-- Ends an attempt that nobody owns (any more), or says who must end it.
function script.cancel()
  local attempt, seq, body = present()
  if not facts.cancellable[body.state] then return { done = false, attempt = attempt } end
  local owner = owner_of_session()
  if owner then return { done = false, attempt = attempt, owner = owner } end
  announce(attempt, seq + 1)
  end_ownership()
  call('DEL', key.claim, key.subject)
  return { done = true, attempt = attempt }
end

-- Puts back what Redis forgot of a running attempt.
function script.reclaim()
  local subject = arg.subject
  call('SET', key.claim, whole(arg.token), 'PX', facts.claim_ttl)
  call('HSET', key.subject, 'phone', subject.phone, 'expected', subject.expected, 'link', subject.link,
    'address', subject.address)
  call('PEXPIRE', key.subject, facts.subject_ttl)
  return true
end

-- A link has done its work, unless it was revoked meanwhile. Answers what the link is then.
function script.spend_link()
  local left = arg.expires_at - now_ms()
  if left > 0 then call('SET', key.link, arg.spent, 'NX', 'PX', whole(left)) end
  return call('GET', key.link)
end

local function is_overdue(body)
  local told = type(body.deadline) == 'number' and body.deadline or nil
  local deadline = tonumber(call('ZSCORE', key.claims, arg.session) or nil) or told
  deadline = deadline and told and math.min(deadline, told) or deadline
  return deadline and now_ms() >= deadline + facts.grace
end

-- Closes a running onboarding that is past its deadline; an owner that still believes in it is fenced off. One that has only
-- waited is told so: `waited` is the change for that. Answers the state, or false if nothing was closed.
function script.close_overdue()
  local attempt, seq, body = present()
  if not facts.running[body.state] then
    call('ZREM', key.claims, arg.session)
    return false
  end
  if not is_overdue(body) or settles() then return false end
  if body.state == 'queued' then arg.change, arg.event = arg.waited.change, arg.waited.event end
  announce(attempt, seq + 1)
  end_ownership()
  call('DEL', key.claim, key.subject)
  return arg.change.state
end

-- Begins a running onboarding anew whose owner is gone, under a higher token, for the same page. Answers the attempt, or
-- 0 if there is none to begin: it has ended, it is owned, or the phone has already agreed.
function script.restart()
  local _, _, body = present()
  if not facts.cancellable[body.state] or owner_of_session() then return 0 end
  check_step(math.huge)
  local attempt = end_ownership()
  call('SET', key.claim, whole(attempt), 'PX', facts.claim_ttl)
  announce(attempt, 1)
  enqueue_link(attempt)
  return attempt
end

-- The owner's write. Answers the new seq; 0 if the writer is not the owner, or something newer is there; -1 if Redis knows
-- nothing at all of the session. A change is known by its mark: saved again, it is done and counted once.
function script.save()
  if call('EXISTS', key.snapshot, key.lease) == 0 then return -1 end
  if owner_of_session() ~= arg.owner then return 0 end
  local attempt, seq = present()
  if attempt > arg.attempt then return 0 end
  if attempt == arg.attempt and call('HGET', key.snapshot, 'mark') == arg.mark then return seq end
  seq = attempt == arg.attempt and seq + 1 or 1
  announce(arg.attempt, seq)
  call('HSET', key.snapshot, 'mark', arg.mark)
  if arg.ending then call('DEL', key.claim, key.subject) end
  return seq
end

-- Scripts: leases ------------------------------------------------------------------------------------------------------

local function give_lease(token)
  sign_of_life(arg.worker)
  name_owner(arg.worker, token)
  return token
end

-- Answers the token, or 0 if somebody owns the session, or if `attempt` is no longer the claimed one. A worker that asks
-- `again` may have been given the lease, and not have heard of it.
function script.acquire()
  local owner = owner_of_session()
  if owner and not (arg.again and worker_of(owner) == arg.worker) then return 0 end
  if arg.attempt and (claimed() ~= arg.attempt or digits(call('GET', key.fence)) ~= arg.attempt) then return 0 end
  return give_lease(arg.attempt or next_token(key.fence))
end

-- Takes leases anew that Redis seems to have forgotten, each as {session, token}. Answers for each the new token, or 0 if
-- another owns the session, or if the fence has moved on, by another than this very worker: it may have been given the newer
-- token, and not have heard of it.
function script.retake()
  local tokens = {}
  for place, lease in ipairs(arg.leases) do
    arg.session, key.lease, key.fence = lease[1], key.lease_of .. lease[1], key.fence_of .. lease[1]
    local owner, fence = owner_of_session(), digits(call('GET', key.fence)) or 0
    local is_own = worker_of(owner) == arg.worker
    local is_ended = fence > lease[2] and not (is_own and fence == token_of(owner))
    tokens[place] = (owner and not is_own or is_ended) and 0 or give_lease(next_token(key.fence, lease[2]))
  end
  return tokens
end

-- A new attempt under the same ownership. Answers its token, or 0 if the lease is gone.
function script.advance()
  if owner_of_session() ~= arg.owner then return 0 end
  local token = next_token(key.fence, arg.held)
  name_owner(arg.worker, token)
  call('SET', key.claim, whole(token), 'XX', 'PX', facts.claim_ttl)
  return token
end

-- Gives a lease up. Somebody else's is left alone.
function script.release()
  if call('GET', key.lease) ~= arg.owner then return false end
  forget_holder(worker_of(arg.owner))
  call('DEL', key.lease)
  return true
end

-- Gives a worker's lease up that may have left something undone: a sweep looks after the session.
function script.abandon()
  local owner = call('GET', key.lease)
  call('SREM', key.held_of .. arg.worker, arg.session)
  if worker_of(owner) ~= arg.worker then return false end
  call('DEL', key.lease)
  name_owner(NOBODY, token_of(owner))
  return true
end

-- The same for many sessions of a dead worker at once, whose devices anybody may take up now.
function script.free()
  if lives(arg.worker) then return {} end
  local freed = {}
  for _, session in ipairs(arg.sessions) do
    if worker_of(call('GET', key.lease_of .. session)) == arg.worker then
      call('DEL', key.lease_of .. session)
      next_token(key.fence_of .. session)
      freed[#freed + 1] = session
    end
    call('SREM', key.held_of .. arg.worker, session)
  end
  note_taking(arg.worker)
  return freed
end

-- A worker's heartbeat: the same few commands for any number of sessions. Answers what was the number of the last beat
-- that Redis knows of ('' after a lapse, or a loss of memory; an older one if Redis has gone back), how many sessions
-- it has by Redis, how many were ever taken from it, and whether some worker has lapsed.
function script.beat()
  local before = call('GET', key.alive_of .. arg.worker)
  local known = tonumber(before or nil)
  if arg.beat > 1 and known ~= arg.beat and known ~= arg.beat - 1 then
    call('SET', key.settling, arg.worker, 'PX', facts.settling)
  end
  sign_of_life(arg.worker, whole(arg.beat))
  local oldest = call('ZRANGE', key.workers, 0, 0, 'WITHSCORES')
  return {
    before = before or '',
    held = call('SCARD', key.held_of .. arg.worker),
    taken = digits(call('GET', key.taken_of .. arg.worker)) or 0,
    lapsed = (oldest[2] and tonumber(oldest[2]) < now_ms() - facts.lease or false)
      or call('EXISTS', key.held_of .. NOBODY) == 1,
  }
end

-- Some leases of a worker, each as {session, owner}. Answers which are another's now, and which Redis does not know: it
-- has forgotten them, has gone back to an older one of nobody else who lives, or has given the worker itself a newer one,
-- and the answer was lost.
function script.look()
  local lost, unknown = {}, {}
  for _, lease in ipairs(arg.leases) do
    local owner = call('GET', key.lease_of .. lease[1])
    local named = worker_of(owner)
    if owner ~= lease[2] then
      local is_older = owner and token_of(owner) < token_of(lease[2]) and not lives(named)
      local list = (not owner or named == arg.worker or is_older) and unknown or lost
      list[#list + 1] = lease[1]
    end
  end
  return { lost = lost, unknown = unknown }
end

-- The workers that have stopped beating, the longest silent first; and `nobody`, if it has something.
function script.dead_workers()
  local dead = {}
  if settles() then return dead end
  for _, worker in ipairs(call('ZRANGEBYSCORE', key.workers, '-inf', whole(now_ms() - facts.lease), 'LIMIT', 0, 1000)) do
    if #worker > 100 or not string.find(worker, '^[%w_.-]+$') then
      call('ZREM', key.workers, worker) -- no worker of ours is named so
    elseif not lives(worker) then
      dead[#dead + 1] = worker
    end
  end
  if call('EXISTS', key.held_of .. NOBODY) == 1 then dead[#dead + 1] = NOBODY end
  return dead
end

-- Of some sessions those that no living worker owns, as {session, worker}: the dead one whose leavings a sweep sees to first.
-- '' if anybody may take the session up: it has no lease, or that of a worker of which Redis knows nothing.
function script.unowned()
  local found = {}
  if settles() then return found end
  for _, session in ipairs(arg.sessions) do
    local worker = worker_of(call('GET', key.lease_of .. session))
    if not lives(worker) then
      local is_known = worker and (worker == NOBODY or call('ZSCORE', key.workers, worker))
      found[#found + 1] = { session, is_known and worker or '' }
    end
  end
  return found
end

-- A worker that is gone (`by` itself, or another): its jobs go to all others, and it is forgotten once nothing is left that
-- it held. Answers whether it is.
function script.bury()
  if arg.worker ~= arg.by and lives(arg.worker) then return { jobs = 0, gone = false } end
  call('DEL', key.alive_of .. arg.worker)
  local queue = key.queue_worker_of .. arg.worker
  local jobs = call('ZRANGE', queue, 0, -1, 'WITHSCORES')
  for i = 1, #jobs, 2 do
    call('ZADD', key.queue_sessions, jobs[i + 1], jobs[i])
    call('ZREM', queue, jobs[i])
  end
  if #jobs > 0 then call('PUBLISH', key.queue_sessions .. ':wake', '1') end
  if call('EXISTS', key.held_of .. arg.worker) == 1 then return { jobs = #jobs / 2, gone = false } end
  call('DEL', key.worker_of .. arg.worker, key.taken_of .. arg.worker)
  return { jobs = #jobs / 2, gone = call('ZREM', key.workers, arg.worker) == 1 }
end

-- The last will of a worker that was killed, once all of its processes are gone: its heartbeat ends now. Answers whether
-- Redis knew the worker.
function script.last_will()
  call('DEL', key.alive_of .. arg.worker)
  return call('ZADD', key.workers, 'XX', 'CH', '0', arg.worker) == 1
end

-- Scripts: one sweep at a time -------------------------------------------------------------------------------------------

-- Answers the living worker whose turn it is to sweep: `worker`, unless another is at it.
function script.begin_sweep()
  local by = call('GET', key.sweep)
  if by and by ~= arg.worker and lives(by) then return by end
  sign_of_life(arg.worker)
  call('SET', key.sweep, arg.worker, 'PX', facts.minute)
  return arg.worker
end

function script.end_sweep()
  if call('GET', key.sweep) == arg.worker then call('DEL', key.sweep) end
  call('SET', key.swept, '1', 'PX', arg.rest)
  return true
end

-- Scripts: events ------------------------------------------------------------------------------------------------------

-- Has the names of a session's keys be those of this one.
local function turn_to(session)
  arg.session = session
  key.snapshot, key.subject, key.receiver = key.snapshot_of .. session, key.subject_of .. session, key.receiver_of .. session
  key.inbox, key.lost = key.inbox_of .. session, key.lost_of .. session
end

-- Tells of something that is no change of a snapshot.
function script.tell()
  tell_beside(arg.event)
  return true
end

-- Of what has come in for a session, the first event alone is on the shelf: the next follows when that one has ended.
local function next_of_inbox(ended)
  if ended then call('LREM', key.inbox, 1, ended) end
  local first = call('LINDEX', key.inbox, 0)
  while first and call('EXISTS', key.webhook_of .. first) == 0 do -- forgotten
    call('LPOP', key.inbox)
    first = call('LINDEX', key.inbox, 0)
  end
  if not first or call('ZSCORE', key.webhooks, first) then return end
  call('ZADD', key.webhooks, whole(now_ms()), first)
  call_to_shelf()
end

-- Counts how a try ended. Nothing happens if the event has come to its end meanwhile.
local function end_try(one)
  local name = key.webhook_of .. one.id
  if not call('ZSCORE', key.webhooks, one.id) then return end
  call('HINCRBY', key.stats, one.counter, 1)
  local known = call('EXISTS', name) == 1
  if known and one.fault then call('HSET', name, 'fault', one.fault) end
  if known and one.pause then
    call('ZADD', key.webhooks, whole(now_ms() + one.pause), one.id)
    call('PEXPIRE', key.webhooks, facts.webhook_ttl)
    return
  end
  call('ZREM', key.webhooks, one.id)
  if one.session then
    turn_to(one.session)
    next_of_inbox(one.id)
  end
  if not (known and one.dies) then
    call('DEL', name)
    return
  end
  call('PEXPIRE', name, facts.dead_ttl)
  call('ZREMRANGEBYSCORE', key.dead_webhooks, '-inf', whole(now_ms() - facts.dead_ttl))
  call('ZADD', key.dead_webhooks, whole(now_ms()), one.id)
  call('PEXPIRE', key.dead_webhooks, facts.dead_ttl)
end

-- Tells of what has come in: once, in its order, and together with how many found no room before. Answers `told`,
-- `behind`, `again`, `full`, or `unwanted`.
local function take_in(one)
  turn_to(one.session)
  local id = one.event.id
  if one.lost > 0 then call('INCRBY', key.lost, one.lost) end
  if not call('SET', key.heard_of .. id, '1', 'NX', 'PX', facts.day) then return 'again' end
  local waiting = call('LLEN', key.inbox)
  if waiting >= arg.room then
    call('INCR', key.lost)
    call('PEXPIRE', key.lost, facts.webhook_ttl)
    return 'full'
  end
  local lost = digits(call('GETDEL', key.lost)) or 0
  if lost > 0 then one.event.about = one.event.about .. ',"lost":' .. whole(lost) end
  tell_beside(one.event)
  if not call('ZSCORE', key.webhooks, id) then return 'unwanted' end
  if waiting > 0 then call('ZREM', key.webhooks, id) end
  call('RPUSH', key.inbox, id)
  call('PEXPIRE', key.inbox, facts.webhook_ttl)
  next_of_inbox()
  return waiting > 0 and 'behind' or 'told'
end

-- Tells, once, of the sessions that have been without connection for long.
local function tell_offline()
  for number, session in ipairs(call('ZRANGEBYSCORE', key.offline, '-inf', whole(now_ms()), 'LIMIT', 0, arg.look)) do
    call('ZREM', key.offline, session)
    turn_to(session)
    local attempt, seq, body = present()
    if body.state == 'reconnecting' and call('HGET', key.snapshot, 'offline') == 'noted' then
      call('HSET', key.snapshot, 'offline', 'told')
      local event = { type = arg.offline.type, wanted = arg.offline.wanted, about = '' }
      event.id = string.format('offline-%s-%d', ARGV[4], number)
      event.company = string.sub(session, #facts.company + 1)
      tell(event, attempt, seq)
    end
  end
end

-- An event that is due, for nobody else to have it for `held` ms. None if it was forgotten, or is none of ours; and none,
-- with `true`, if its receiver has as many under way as it gets at a time.
local function take_event(id, now)
  local name = key.webhook_of .. id
  local kind, company, body, since = unpack(call('HMGET', name, 'type', 'company', 'body', 'since'))
  if not (kind and company and body) or is_strange(id) then
    call('ZREM', key.webhooks, id)
    return nil
  end
  turn_to(facts.company .. company)
  local own = call('HMGET', key.receiver, 'url', 'secret', 'events')
  local place = own[1] or ''
  local busy = arg.busy[place] or 0
  if busy >= arg.each then return nil, true end
  arg.busy[place] = busy + 1
  call('ZADD', key.webhooks, whole(now + arg.held), id)
  return {
    id = id,
    type = kind,
    company = company,
    body = body,
    age = now - (digits(since) or now),
    tries = call('HINCRBY', name, 'tries', 1),
    own = own[1] and own or nil,
    more = kind == arg.ordered and call('LLEN', key.inbox) > 1,
  }
end

-- Takes what is due: `takes` events at most, and of one receiver as many as make `each` with those that are `busy` there.
-- Answers them, whether others are due for which there was no room, and in how many ms to look again.
local function take_due()
  local taken, passed, now = {}, {}, now_ms()
  local due = call('ZRANGEBYSCORE', key.webhooks, '-inf', whole(now), 'LIMIT', 0, arg.look)
  for _, id in ipairs(due) do
    if #taken >= arg.takes then break end
    local event, crowded = take_event(id, now)
    if event then taken[#taken + 1] = event end
    if crowded then passed[#passed + 1] = id end
  end
  local full = #taken >= arg.takes
  if #due >= arg.look and #taken == 0 and not full then -- many that wait for one receiver hide nobody behind them
    for place, id in ipairs(passed) do call('ZADD', key.webhooks, whole(now + arg.crowded + place), id) end
    passed = {}
  end
  if full or #passed > 0 then
    if is_fresh then call('PUBLISH', key.webhooks, '1') end -- somebody else may have room
    return taken, true, facts.minute
  end
  local wait = facts.minute
  for _, zset in ipairs({ key.webhooks, key.offline }) do
    local first = call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
    if first then wait = math.min(wait, math.max(0, tonumber(first) - now)) end
  end
  return taken, false, wait
end

-- One step of a worker at the shelf: what became of tries, what has come in, who is offline, and what is to be tried next.
function script.serve_events()
  for _, one in ipairs(arg.ended) do end_try(one) end
  local words = {}
  for place, one in ipairs(arg.come) do words[place] = take_in(one) end
  tell_offline()
  local taken, full, wait = take_due()
  return { events = taken, words = words, full = full, wait = wait }
end

-- Has an event tried anew at once, with a day before it.
function script.resend_event()
  local name = key.webhook_of .. arg.id
  if not call('HGET', name, 'body') then return false end
  call('ZREM', key.dead_webhooks, arg.id)
  call('HSET', name, 'since', whole(now_ms()), 'tries', 0)
  call('PEXPIRE', name, facts.webhook_ttl)
  call('ZADD', key.webhooks, whole(now_ms()), arg.id)
  call('PEXPIRE', key.webhooks, facts.webhook_ttl)
  call_to_shelf()
  return true
end

-- Scripts: texts on their way out ----------------------------------------------------------------------------------------

local function mark_text(id, ...)
  local name = key.message_of .. id
  call('HSET', name, ...)
  call('PEXPIRE', name, facts.message_ttl)
end

local function look_later()
  call('ZADD', key.outboxes, whole(now_ms() + arg.look), arg.session)
  call('PEXPIRE', key.outboxes, facts.outbox_ttl)
end

-- Calls the session's worker to its outbox. A worker that has just begun with the first text needs no call: it looks at
-- what follows when it writes the end of that one, within a moment. Later than `soon` ms it is called all the same: only
-- what a worker knows outlives an emptied Redis.
local function call_for_texts(first)
  local owner = owner_of_session()
  if owner and first then
    local state, by, began = unpack(call('HMGET', key.message_of .. first, 'state', 'by', 'sendingAt'))
    if state == 'sending' and by == owner and now_ms() - (digits(began) or 0) < arg.soon then return end
  end
  key.queue = owner and key.queue_worker_of .. worker_of(owner) or key.queue_sessions
  enqueue(arg.job)
  call('PUBLISH', key.queue .. ':wake', '1')
end

-- Keeps a text at the end of its outbox, once for each Idempotency-Key. Answers `id:digest` of the text that is kept,
-- `full`, or `unlinked`. Nobody is called without a `job`: the worker itself keeps the text again.
function script.accept_text()
  local mine = arg.id .. ':' .. arg.digest
  if call('EXISTS', key.message_of .. arg.id) == 1 then return mine end
  local known = key.once and call('GET', key.once)
  if known then return known end
  local _, _, body = present()
  if arg.only_linked and not facts.device[body.state] then return 'unlinked' end
  if call('LLEN', key.outbox) >= arg.most then return 'full' end
  if key.once then call('SET', key.once, mine, 'PX', facts.once_ttl) end
  local text, first = key.text_of .. arg.id, call('LINDEX', key.outbox, 0)
  mark_text(arg.id, 'state', 'queued', 'acceptedAt', whole(now_ms()))
  call('HSET', text, 'to', arg.to, 'text', arg.text)
  call('PEXPIRE', text, facts.subject_ttl)
  call('RPUSH', key.outbox, arg.id)
  call('PEXPIRE', key.outbox, facts.outbox_ttl)
  look_later()
  if arg.job then call_for_texts(first) end
  return mine
end

-- Marks a text as under way, if its turn has come. Answers a word of Begun, and ms to wait. A text that Redis has
-- forgotten is as good as one that waits.
local function begin_text(one)
  if owner_of_session() ~= arg.owner then return { word = 'lost', wait = 0 } end
  local state, by = unpack(call('HMGET', key.message_of .. one.id, 'state', 'by'))
  if state == 'sending' and worker_of(by) == worker_of(arg.owner) then return { word = 'go', wait = 0 } end
  if state and state ~= 'queued' then return { word = 'over', wait = 0 } end
  look_later()
  local now = now_ms()
  if one.cost > 0 then
    local before = math.min(digits(call('GET', key.pace)) or 0, now + one.reserve)
    local used = math.max(now, before) + one.cost
    local over = used - now - one.reserve
    if over > 0 then return { word = 'wait', wait = over } end
    call('SET', key.pace, whole(used), 'PX', whole(used - now))
  end
  mark_text(one.id, 'state', 'sending', 'by', arg.owner, 'sendingAt', whole(now))
  return { word = 'go', wait = 0 }
end

-- What can be written of a text, by its word. Each answers whether that is news.
local written = {}

-- It was to be sent, and has not been: it waits again.
function written.requeued(one)
  local under_way = call('HGET', key.message_of .. one.id, 'state') == 'sending'
  if under_way then mark_text(one.id, 'state', 'queued') end
  return under_way
end

-- What has become of it, with the event of that. The first end counts. Of a text that Redis has forgotten another worker
-- may have told it: only the session's owner may still, and one that takes its lease anew (null) in a moment.
function written.ended(one)
  local state = call('HGET', key.message_of .. one.id, 'state')
  if not state and not arg.owner then return false end
  if not state and owner_of_session() ~= arg.owner then return cjson.null end
  if state and state ~= 'queued' and state ~= 'sending' then return false end
  mark_text(one.id, 'state', one.state, one.state .. 'At', whole(one.at or now_ms()))
  for field, value in pairs(one.about) do call('HSET', key.message_of .. one.id, field, value) end
  call('LREM', key.outbox, 1, one.id)
  call('DEL', key.text_of .. one.id)
  if call('EXISTS', key.outbox) == 0 then call('ZREM', key.outboxes, arg.session) end
  if one.about.whatsappId then call('SET', key.sent_of .. one.about.whatsappId, one.id, 'PX', facts.message_ttl) end
  if one.state == 'sent' then
    call('ZADD', key.unconfirmed, whole(now_ms() + arg.confirm), arg.session .. ' ' .. one.id)
    call('PEXPIRE', key.unconfirmed, facts.message_ttl)
  end
  tell_beside(one.event)
  return true
end

-- The news of a text goes on from sent to delivered and read, or to undelivered; never back, but for a text that was told
-- as undelivered.
local TOLD = { sent = 1, undelivered = 2, delivered = 3, read = 4 }

function written.confirmed(one)
  local name = key.message_of .. one.id
  local state = call('HGET', name, 'state')
  if not TOLD[state or ''] or TOLD[one.state] <= TOLD[state] then return false end
  mark_text(one.id, 'state', one.state, one.state .. 'At', whole(one.at or now_ms()))
  if one.about.reason then call('HSET', name, 'reason', one.about.reason) else call('HDEL', name, 'reason') end
  call('ZREM', key.unconfirmed, arg.session .. ' ' .. one.id)
  tell_beside(one.event)
  return true
end

-- The phone could not decrypt it. Unless it confirms it within `doubt` ms, the text is told as undelivered.
function written.doubted(one)
  if call('HGET', key.message_of .. one.id, 'state') ~= 'sent' then return false end
  mark_text(one.id, 'doubt', 'unreadable')
  call('ZADD', key.unconfirmed, 'LT', whole(now_ms() + arg.doubt), arg.session .. ' ' .. one.id)
  return true
end

-- The texts of the outbox behind the first `known.count`, `most` of them, with what is said in them. None if those do not
-- end with `known.last`: then the outbox is not as its worker believes.
local function texts_behind(known, most)
  if known.count > 0 and call('LINDEX', key.outbox, known.count - 1) ~= known.last then return nil end
  local texts = {}
  for _, id in ipairs(call('LRANGE', key.outbox, known.count, known.count + most - 1)) do
    if #id == 16 and string.find(id, '^%x+$') then
      local to, text = unpack(call('HMGET', key.text_of .. id, 'to', 'text'))
      local state, at = unpack(call('HMGET', key.message_of .. id, 'state', 'acceptedAt'))
      texts[#texts + 1] = { id = id, to = to, text = text, at = at, sending = state == 'sending' }
    else
      call('LREM', key.outbox, 0, id) -- no text of ours is named so
    end
  end
  return texts
end

-- One step of a session's texts: writes what has become of some, then marks the next one as under way, if its turn has
-- come. Beside the answer: the texts that are new to the worker.
function script.step_texts()
  local news = {}
  for place, one in ipairs(arg.written) do news[place] = written[one.word](one) end
  local begun = arg.begin and begin_text(arg.begin)
  return { news = news, begun = begun }, arg.known and texts_behind(arg.known, arg.most)
end

function script.look_at_texts()
  return texts_behind({ count = 0 }, arg.most)
end

-- Scripts: cool-downs --------------------------------------------------------------------------------------------------

-- Counts a refusal for each role in `free`, its first refusals that cost nothing. Answers until when the last waits, or 0.
function script.refuse()
  local now, latest = now_ms(), 0
  for role, free in pairs(arg.free) do
    local name = key[role]
    local known = decoded(call('GET', name) or '') or {}
    local function kept(field, most)
      local value = known[field]
      return type(value) == 'number' and value >= 0 and value <= most and value or 0
    end
    local refusals, till = kept('refusals', 1000) + 1, kept('until', now + 365 * facts.day)
    local step = refusals - free
    if step > 0 then till = math.max(till, now + arg.waits[math.min(step, #arg.waits)]) end
    call('SET', name, string.format('{"refusals":%d,"until":%.0f}', refusals, till),
      'PX', whole(math.max(till - now, 0) + arg.memory))
    if till > now then latest = math.max(latest, till) end
  end
  return latest
end

-- Answers 0 if the session may have the phone's one living code now, otherwise how many ms another's still lives.
function script.take_code()
  local holder = call('GET', key.code)
  if holder and holder ~= arg.session and lapses(key.code) then return call('PTTL', key.code) end
  call('SET', key.code, arg.session, 'PX', arg.life)
  return 0
end

function script.give_code_back()
  return call('GET', key.code) == arg.session and call('DEL', key.code) == 1
end

-- Scripts: jobs --------------------------------------------------------------------------------------------------------

function script.enqueue()
  for _, job in ipairs(arg.jobs) do enqueue(job) end
  call('PUBLISH', key.queue .. ':wake', '1')
  return true
end

-- Takes jobs that are due and that nobody alive runs, at most `room`; answers {id, score} of each. A job's mark names the
-- worker that runs it, and is worth nothing when that worker is dead.
function script.take_jobs()
  sign_of_life(arg.worker)
  local due = call('ZRANGEBYSCORE', key.queue, '-inf', whole(now_ms()), 'WITHSCORES', 'LIMIT', 0, arg.look)
  local taken, living = {}, {}
  for i = 1, #due, 2 do
    if #taken >= arg.room then break end
    local id = due[i]
    local mark = call('GET', key.in_progress_of .. id)
    local by = worker_of(mark)
    if by and living[by] == nil then living[by] = lives(by) end -- once: it may run half of what is due
    if is_strange(id) then
      call('ZREM', key.queue, id) -- no job of ours is named so
    elseif not mark or (by and not living[by]) then
      call('SET', key.in_progress_of .. id, arg.mark, 'PX', arg.life)
      taken[#taken + 1] = { id, math.max(0, math.floor(tonumber(due[i + 1]))) }
    end
  end
  return taken
end

-- Which of some queues (roles) have a job that is due.
function script.due_queues()
  local due, now = {}, whole(now_ms())
  for i, role in ipairs(arg.queues) do
    due[i] = #call('ZRANGEBYSCORE', key[role], '-inf', now, 'LIMIT', 0, 1) > 0
  end
  return due
end

-- Scripts: what operators steer and read ----------------------------------------------------------------------------------

local function flat(fields)
  local found = {}
  for _, field in ipairs(fields) do
    found[#found + 1] = field[1]
    found[#found + 1] = field[2]
  end
  return unpack(found)
end

local function record(stream, fields)
  call('XADD', stream, 'MAXLEN', '~', facts.timeline_length, '*', flat(fields))
  call('PEXPIRE', stream, facts.timeline_ttl)
end

-- A worker's report on itself, in the place of its last one.
function script.report()
  call('HSET', key.worker_of .. arg.worker, flat(arg.fields))
  call('PEXPIRE', key.worker_of .. arg.worker, facts.worker_ttl)
  return true
end

-- Writes a line for the operators (`fields`: {name, value} pairs), and counts it. With `event`, also into the timeline of
-- the session that it is about.
function script.record()
  record(key.stream, arg.fields)
  if arg.event then write_timeline('0', arg.event, arg.detail) end
  for _, counter in ipairs(arg.counters) do call('HINCRBY', key.stats, counter, 1) end
  return true
end

-- Throws a switch (value '' throws it off), and records whatever differs from what was last seen: also what was thrown by
-- hand. Answers the switches, and the time.
function script.throw()
  if arg.name then
    if arg.value == '' then
      call('HDEL', key.switch, arg.name)
    else
      call('HSET', key.switch, arg.name, arg.value)
    end
  end
  local now, seen = read_hash(key.switch), read_hash(key.switch_seen)
  local function note(name, event, detail)
    local fields = { { 'event', event }, { 'what', name }, { 'detail', detail }, { 'by', arg.by }, { 'why', arg.why } }
    record(key.operators, fields)
  end
  for name, value in pairs(now) do
    if seen[name] ~= value then
      call('HSET', key.switch_seen, name, value)
      note(name, 'switch.on', value)
    end
  end
  for name in pairs(seen) do
    if not now[name] then
      call('HDEL', key.switch_seen, name)
      note(name, 'switch.off', '')
    end
  end
  return { on = now, now = now_ms() }
end

-- The call ---------------------------------------------------------------------------------------------------------------

local index = 0
for role in string.gmatch(ARGV[2], '[^,]+') do
  index = index + 1
  key[role] = KEYS[index]
end
arg = cjson.decode(ARGV[3])

local said = ARGV[4] ~= '' and key.said_of .. ARGV[4]
local before = said and call('GET', said)
if before then return before end
local answer, beside = script[ARGV[1]]()
local encoded = cjson.encode(answer)
if said then call('SET', said, encoded, 'PX', facts.said_ttl) end
if beside then
  answer.beside = beside
  encoded = cjson.encode(answer)
end
if #odd == 0 then return encoded end
call('HINCRBY', key.stats, facts.odd, #odd)
return encoded .. '\n' .. table.concat(odd, '\n')
