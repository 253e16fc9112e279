"""The machine of a held session: `step(tenure, event, now) -> (tenure, effects)`. No Redis, no pipe, no clock.

The table is the program, as in `workers/linking/machine.py`. One file, as table and acts are read together. Losses:

    logged out                      forgotten; `unlinked`, or within the dwell `failed` (dropped-after-linking)
    restricted                      parked, and tried again after pauses that grow, for a month; `failed`
    banned                          parked, and tried again when the ban is over; `failed`
    replaced                        parked, and tried again once: a second time the keys are in use elsewhere; `failed`
    refused, unreachable            `reconnecting` with the reason; tried again with growing pauses
    outdated                        `reconnecting`; tried again with a newer version, one session first (outdated.py)
    keys not in the store           forgotten; `unlinked` (internal)
"""

from shared.core import keys
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.lifecycle import State, check_step
from workers import reasons
from workers.engine import protocol as pipe
from workers.engine.protocol import LostReason
from workers.holding import tenure as t
from workers.holding.tenure import UNLINKING, UNWELCOME, Sign, Tenure, TenurePhase
from workers.rules import Rule, Turn, When, advance, do, worded

ALERT_AT_TRY = 4
"""A session that cannot be connected so many times in a row, some 14 s, is no hiccup: Sentry hears of it."""
BAN_MS = keys.HOUR
"""Wait for the end of a ban that does not say how long it lasts."""
AFTER_BAN_MS = 1_000
RESTRICTED_MS = (keys.MINUTE, keys.DAY)
"""Shortest and longest pause between tries of a restricted account. WhatsApp does not say when it releases one."""
RESTRICTED_MOST_MS = 30 * keys.DAY
"""After this long a restricted account is tried no more by itself."""
SOON = 2
"""The pause after so many tries, some 8 s, is the longest while a device is logged out."""
REPLACED_MS = 10 * keys.MINUTE
"""Until a device that was replaced once is tried again."""

T = Turn[Tenure]


def step(tenure: Tenure, event: t.SessionEvent, now: int) -> tuple[Tenure, tuple[t.SessionEffect | t.Duty, ...]]:
    """Return the session after an event at `now` (ms since the epoch), and the effects. Raises `IllegalStep` for a row
    that the lifecycle forbids."""
    turn = Turn(tenure, event, now)
    advance(TABLE, turn)
    for effect in turn.effects:
        if isinstance(effect, t.TellEnd):
            check_step(tenure.shown, effect.state)
    return turn.course, tuple(turn.effects)


# --- conditions -----------------------------------------------------------------------------------------------------


def lost_by(*reasons_: LostReason) -> When[Tenure]:
    """The condition that a session was lost for one of these reasons."""

    def condition(turn: T) -> bool:
        return turn.event.reason in reasons_

    condition.__qualname__ = "_".join(reason.name for reason in reasons_)
    return condition


# --- acts -----------------------------------------------------------------------------------------------------------


def calm(turn: T) -> None:
    """End the trouble of a session that is connected."""
    turn.set(tries=0, trouble=None)


@worded
def tell(turn: T, state: State, event: str) -> None:
    """Tell where the session stands, unless it was told already."""
    if turn.course.shown is not state:
        turn.set(shown=state)
        turn.add(t.Tell(state, event))


def tell_trouble(turn: T) -> None:
    """Tell why the session cannot be connected, and count each trouble once."""
    tenure, event = turn.course, turn.event
    code = reasons.of_loss(event.reason, fresh=tenure.fresh)
    alert = tenure.tries == (ALERT_AT_TRY - 1 if event.reason is LostReason.START_FAILED else 0)
    if event.reason is LostReason.OUTDATED:
        alert = False  # told once by the keeper of the version, when nothing helps
    news = tenure.trouble is not code
    turn.set(shown=State.RECONNECTING, trouble=code)
    said = event.detail if event.reason is LostReason.REFUSED else ""
    turn.add(t.Tell(State.RECONNECTING, _what(turn), code, count=news, alert=alert, raw=_raw(turn), said=said))


def tell_remark(turn: T) -> None:
    """Write down something odd that befell the session, which goes on."""
    turn.add(t.TellRemark(turn.event.remark, turn.event.detail))


def retry(turn: T) -> None:
    """Try again after a pause that grows."""
    turn.add(t.RetryIn(turn.course.tries))
    turn.set(tries=turn.course.tries + 1)


def await_version(turn: T) -> None:
    """Wait for a version that WhatsApp takes, together with the other sessions (workers/holding/outdated.py)."""
    turn.add(t.AwaitVersion(turn.event.library))


def retry_soon(turn: T) -> None:
    """Try again after a short pause: somebody waits for the device to be gone."""
    turn.add(t.RetryIn(min(turn.course.tries, SOON)))
    turn.set(tries=turn.course.tries + 1)


@worded
def start_again(turn: T, event: str) -> None:
    """Start a session again that no holder has."""
    turn.set(shown=State.RECONNECTING)
    turn.add(t.StartAgain(event))


def verify(turn: T) -> None:
    """Tell once that the device has outlived the dwell."""
    if turn.course.fresh:
        turn.set(fresh=False, due=False)
        turn.add(t.Duty.TELL_VERIFIED)


def verify_if_due(turn: T) -> None:
    """Tell the end of a dwell that passed while the connection was away."""
    if turn.course.due:
        verify(turn)


def dwell_anew(turn: T) -> None:
    """Begin the dwell anew if it passed before the first login: WhatsApp judges the device only from here on."""
    if turn.course.due:
        turn.set(due=False)
        turn.add(t.Duty.DWELL)


def verify_later(turn: T) -> None:
    """Put the end of the dwell off until the connection is back."""
    turn.set(due=turn.course.fresh)


def unpark_proven(turn: T) -> None:
    """End the parking of a device at its first login. A replaced one must first stay online for a while, which proves
    that nobody else has its keys."""
    if turn.course.parked == LostReason.REPLACED:
        turn.add(t.Duty.SETTLE)
    else:
        unpark(turn)


def unpark(turn: T) -> None:
    """End the parking of a device."""
    if turn.course.parked:
        turn.set(parked="")
        turn.add(t.Duty.UNPARK_DEVICE)


def park_banned(turn: T) -> None:
    """Keep the device, and try again when the ban is over."""
    event = turn.event
    if event.until is not None:
        turn.add(t.CoolNumber(event.until))
    _park(turn, (event.until or turn.now + BAN_MS) + AFTER_BAN_MS, until=event.until)


def park_restricted(turn: T) -> None:
    """Keep the device, and try again after as long as it has been restricted already. The parking tells since when."""
    why, _, since = turn.course.parked.partition(":")
    began = int(since) if why == LostReason.RESTRICTED and since.isdigit() else turn.now
    shortest, longest = RESTRICTED_MS
    pause = min(max(turn.now - began, shortest), longest)
    again_at = turn.now + pause if turn.now - began < RESTRICTED_MOST_MS else 0
    _park(turn, again_at, since=began)


def park_replaced(turn: T) -> None:
    """Never fight back: try once more, in a while. A device that is replaced again has lost its keys to somebody."""
    once = turn.course.parked != LostReason.REPLACED
    _park(turn, turn.now + REPLACED_MS if once else 0)


def _park(turn: T, again_at: int, *, until: int | None = None, since: int | None = None) -> None:
    reason = turn.event.reason
    code = reasons.of_loss(reason, fresh=turn.course.fresh)
    turn.add(t.ParkDevice(reason.value if since is None else f"{reason.value}:{since}", again_at))
    said = turn.event.detail if reason is LostReason.BANNED else ""
    again = again_at > 0 and turn.course.parked.partition(":")[0] == reason
    turn.add(t.TellEnd(State.FAILED, _what(turn), code, until, _raw(turn), kept=True, again=again, said=said))
    if again_at:
        turn.add(t.Offer(again_at))


def end_lost(turn: T) -> None:
    """Tell that the device is linked no more."""
    reason, fresh = turn.event.reason, turn.course.fresh
    state = State.UNLINKED if reason is LostReason.LOGGED_OUT and not fresh else State.FAILED
    turn.add(t.TellEnd(state, _what(turn), reasons.of_loss(reason, fresh=fresh), raw=_raw(turn)))


@worded
def end_unlinked(turn: T, code: FailureCode | None = None) -> None:
    """Tell `unlinked`, as the platform wished. A `code` says that WhatsApp could not be told."""
    if not turn.course.silent:
        turn.add(t.TellEnd(State.UNLINKED, "session.unlinked", code))


def leave(turn: T) -> None:
    """Keep the platform's wish beside the device, so that it outlives this worker."""
    by = turn.event.by
    turn.set(leave_by=by, parked=UNLINKING)
    turn.add(t.ParkDevice(f"{UNLINKING}:{by}", turn.now), t.GiveUpAt(by))


def _what(turn: T) -> str:
    return f"session.{turn.event.reason.value}"


def _raw(turn: T) -> str:
    return f"{turn.event.reason.value} {turn.event.detail}".strip()


# --- the table ------------------------------------------------------------------------------------------------------

S, F = TenurePhase, FailureCode
_COMING, _ONLINE, _AWAY, _LEAVING = (frozenset({one}) for one in (S.COMING, S.ONLINE, S.AWAY, S.LEAVING))
_OFFLINE, _RUNNING = frozenset({S.COMING, S.AWAY}), frozenset({S.COMING, S.ONLINE, S.AWAY})
_ANY = frozenset({*_RUNNING, S.LEAVING})
_UNREACHABLE = lost_by(LostReason.START_FAILED, LostReason.REFUSED)
_OUTDATED = lost_by(LostReason.OUTDATED)
_FORGET = do(t.Duty.FORGET_DEVICE)
_BACK = (calm, do(t.Duty.WAKE_TEXTS), tell(State.LINKED, "session.held"))

TABLE: tuple[Rule[Tenure], ...] = (
    # The connection comes and goes.
    Rule(pipe.Held | pipe.Restored, _COMING, S.ONLINE, (*_BACK, dwell_anew, unpark_proven)),
    Rule(pipe.Held | pipe.Restored, _AWAY, S.ONLINE, (*_BACK, verify_if_due, unpark_proven)),
    Rule(pipe.Held | pipe.Restored, _LEAVING, None, (calm, do(t.Duty.SEND_LOG_OUT))),
    Rule(pipe.Dropped, _RUNNING - _AWAY, S.AWAY, (tell(State.RECONNECTING, "session.dropped"),)),
    Rule(pipe.Remarked, _RUNNING, None, (tell_remark,)),
    Rule(Sign.HOLDER_DIED, _RUNNING, S.COMING, (do(t.Duty.CUT_TEXTS), start_again("holder.died"))),
    Rule(Sign.HOLDER_DIED, _LEAVING, None, (do(t.Duty.CUT_TEXTS), start_again("holder.died"))),
    Rule(Sign.START_FAILED, _RUNNING, S.COMING, (retry,)),
    Rule(Sign.START_FAILED, _LEAVING, None, (retry,)),
    Rule(Sign.RETRY, frozenset({S.COMING, S.LEAVING}), None, (start_again("session.retrying"),)),
    Rule(Sign.KEYS_MISSING, _ANY, S.OVER, (_FORGET, do(t.TellEnd(State.UNLINKED, "device.missing", F.INTERNAL)))),
    # The dwell.
    Rule(Sign.DWELT, _ONLINE, None, (verify,)),
    Rule(Sign.DWELT, _OFFLINE, None, (verify_later,)),
    Rule(Sign.SETTLED, _ONLINE, None, (unpark,)),
    # The session is lost.
    Rule(pipe.Lost, _RUNNING, S.COMING, (tell_trouble, retry), _UNREACHABLE),
    Rule(pipe.Lost, _RUNNING, S.COMING, (tell_trouble, await_version), _OUTDATED),
    Rule(pipe.Lost, _RUNNING, S.OVER, (_FORGET, end_lost), lost_by(LostReason.LOGGED_OUT)),
    Rule(pipe.Lost, _RUNNING, S.OVER, (park_restricted,), lost_by(LostReason.RESTRICTED)),
    Rule(pipe.Lost, _RUNNING, S.OVER, (park_banned,), lost_by(LostReason.BANNED)),
    Rule(pipe.Lost, _RUNNING, S.OVER, (park_replaced,), lost_by(LostReason.REPLACED)),
    # We log the device out. Until WhatsApp has said so the keys are kept, or the phone would list a dead device.
    Rule(t.UnlinkAsked, _ONLINE, S.LEAVING, (leave, do(t.Duty.SEND_LOG_OUT))),
    Rule(t.UnlinkAsked, _OFFLINE, S.LEAVING, (leave,)),
    Rule(pipe.Lost, _LEAVING, S.OVER, (_FORGET, end_unlinked()), lost_by(LostReason.LOGGED_OUT)),
    Rule(pipe.Lost, _LEAVING, S.OVER, (_FORGET, end_unlinked(F.ACCOUNT_RESTRICTED)), lost_by(LostReason.RESTRICTED)),
    Rule(pipe.Lost, _LEAVING, None, (await_version,), _OUTDATED),
    Rule(pipe.Lost, _LEAVING, None, (retry_soon,)),
    Rule(pipe.Released, _LEAVING, None, (retry_soon,)),
    Rule(Sign.UNANSWERED, _LEAVING, None, (do(t.Duty.DISCONNECT), retry_soon)),
    Rule(Sign.LATE, _LEAVING, S.OVER, (_FORGET, end_unlinked(F.CONNECTION_FAILED))),
)


def initial(*, shown: State, fresh: bool, parked: str, now: int) -> Tenure:
    """The tenure of a session that is taken up, as the registry has it. `parked` carries a log-out that was asked for."""
    why, _, by = parked.partition(":")
    if why == UNLINKING:
        return Tenure(S.LEAVING, shown, parked=why, leave_by=int(by) if by.isdigit() else now)
    if why in UNWELCOME:
        return refusing(now, keys.DAY)
    return Tenure(shown=shown, fresh=fresh, parked=parked)


def refusing(now: int, ms: int) -> Tenure:
    """The tenure of a device that must not stay, and is logged out for `ms` at most."""
    return replace(Tenure(S.LEAVING), leave_by=now + ms, silent=True)
