"""The machine of an attempt: `step(course, happening, now) -> (course, effects)`. No Redis, no pipe, no clock.

The table is the program: the first row that fits what happened, where the attempt stands, and its condition says where
the attempt goes, and what is done. What fits no row came late, or twice, and changes nothing. An effect that is answered
stands last in its row, or its answer changes nothing of what follows.
"""

from dataclasses import replace
from typing import Any

from shared.core import phone
from shared.core.failures import FailureCode
from shared.core.lifecycle import State, check_step
from shared.core.protocol import Body, CodeView, DeviceView, Hint, MessageType, Method
from shared.state.claims import REVOKED, Subject
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.engine.parent import Exited
from workers.linking import course as c
from workers.linking.course import Course, Effect, Happening, Order, Phase
from workers.linking.rotation import Rotation
from workers.reasons import Verdict
from workers.rules import Act, Rule, Turn, When, advance, do

P = Phase
#: The state that the page sees in a phase.
_STATES = {P.CONNECTING: State.CONNECTING, P.SHOWING: State.AWAITING_PHONE, P.AGREED: State.LINKING}

T = Turn[Course]
Row = Rule[Course]


def step(course: Course, happening: Happening, now: int) -> tuple[Course, tuple[Effect, ...]]:
    """Make one step: the attempt after an event at `now` (ms since the epoch), and the effects. Raises `IllegalStep`
    for a row that the lifecycle forbids."""
    turn = Turn(course, happening, now)
    advance(TABLE, turn)
    state = _STATES.get(turn.course.phase)
    if turn.course.phase is not course.phase and state is not None:
        check_step(course.body.state, state)
    for effect in turn.effects:
        if isinstance(effect, c.End):
            check_step(course.body.state, effect.body.state)
    return turn.course, tuple(turn.effects)


def _change(turn: T, **changes: Any) -> None:
    turn.set(body=turn.course.body.model_copy(update=changes))


def _subject(turn: T) -> Subject:
    """Whom the attempt is about. A Redis that lost its memory shall not cost us what we know."""
    happening, known = turn.event, turn.course.subject
    return (
        happening.subject if isinstance(happening, c.Learned) and (happening.subject.link or not known.link) else known
    )


# --- conditions -----------------------------------------------------------------------------------------------------


def warm(turn: T) -> bool:
    """A linker waits."""
    return bool(turn.event.warm and turn.event.refused is None)


def refused(turn: T) -> bool:
    """There must be no attempt: the operator wants none now, or there is no room to hold what it would link."""
    return turn.course.refused is not None


def code_due(turn: T) -> bool:
    """A code was asked for that WhatsApp has not been asked for yet on this connection."""
    return _subject(turn).phone is not None and turn.course.asker is None


def too_late_for_a_code(turn: T) -> bool:
    """A code would die with its connection before anybody has typed it."""
    return code_due(turn) and turn.course.rotation.dies - turn.now < turn.course.limits.code_least


def asked(turn: T) -> bool:
    """WhatsApp was asked for a code on this connection."""
    return turn.course.asker is not None


def _verdict(verdict: Verdict) -> When[Course]:
    def condition(turn: T) -> bool:
        said: Verdict = reasons.of_word(turn.event.word).verdict
        return said is verdict

    return condition


def may_begin_anew(turn: T) -> bool:
    """An attempt begins anew by itself so often, and no more."""
    return turn.course.restarts < turn.course.limits.restarts


def word_says_again(turn: T) -> bool:
    """The library's word means that a fresh connection may succeed, and one may still be made."""
    return _verdict(Verdict.AGAIN)(turn) and may_begin_anew(turn)


def word_says_outdated(turn: T) -> bool:
    """WhatsApp refuses the version that our client claims."""
    return _verdict(Verdict.OUTDATED)(turn)


def login_is_outdated(turn: T) -> bool:
    """WhatsApp refuses the client's version at the login after the phone's yes."""
    return turn.event.refusal is pipe.LostReason.OUTDATED


def newer_may_begin_anew(turn: T) -> bool:
    """A fresh connection claims a newer version."""
    return turn.event.is_there and may_begin_anew(turn)


def newer_not_revived(turn: T) -> bool:
    """Another linker logs in with the file, and claims a newer version."""
    return turn.event.is_there and not_revived(turn)


def rotation_is_over(turn: T) -> bool:
    """The QRs have run out. Before their time, the same word means that we were cut off."""
    dies = turn.course.rotation.dies
    used_up = _verdict(Verdict.USED_UP)(turn)
    return used_up and bool(dies) and turn.now > dies - turn.course.limits.used_up_early


def word_is_an_end(turn: T) -> bool:
    """The library's word ends the attempt."""
    return not _verdict(Verdict.GO_ON)(turn)


def not_said_yet(turn: T) -> bool:
    """The linker has not said the same before."""
    return bool(turn.event != turn.course.paired)


def not_revived(turn: T) -> bool:
    """A phone is not asked twice: another linker may log in with the file. Once: a second death has a reason."""
    return not turn.course.revived


def stranger(turn: T) -> bool:
    """Another phone than the expected one has agreed."""
    expected, paired = turn.course.subject.expected, turn.course.paired
    return expected is not None and paired is not None and not phone.same_account(expected, phone.of_jid(paired.jid))


def unwelcome(turn: T) -> bool:
    """The phone that has agreed must not stay."""
    return bool(turn.course.unwelcome)


def came_by_revoked_link(turn: T) -> bool:
    """The device must not stay because its link was revoked meanwhile."""
    return turn.course.unwelcome == REVOKED


def link_revoked(turn: T) -> bool:
    """The link was revoked before it could be spent."""
    return not turn.event.kept


# --- acts -----------------------------------------------------------------------------------------------------------


def begin_clock(turn: T) -> None:
    """A connection has its own deadline and its own QRs."""
    limits = turn.course.limits
    turn.set(deadline=turn.now + limits.attempt, rotation=Rotation(), asker=None)
    turn.set(refused=turn.event.refused, dialled=warm(turn))


def learn_subject(turn: T) -> None:
    """Know whom the attempt is about."""
    turn.set(subject=_subject(turn))
    method = turn.event.method
    if method is not None:
        _change(turn, method=method)


def tell_connecting(turn: T) -> None:
    """A fresh page: nothing of the connection before."""
    course = turn.course
    turn.set(body=Body(state=State.CONNECTING, method=course.body.method, deadline=course.deadline))
    turn.add(c.Show(MessageType.STATUS, "attempt.connecting"))


def dial(turn: T) -> None:
    """Connect, unless that is under way."""
    if not turn.course.dialled:
        turn.add(c.Dial())
    turn.set(dialled=True)


def next_qr(turn: T) -> None:
    """The next QR of the rotation."""
    event = turn.event
    assert isinstance(event, pipe.Qr)  # noqa: S101 - the row says so
    rotation, view = turn.course.rotation.next(event.text, event.born, turn.course.limits.qr)
    turn.set(rotation=rotation)
    _change(turn, state=State.AWAITING_PHONE, qr=view)


def tell_qr(turn: T) -> None:
    """Show the QR, and a hint when nobody has answered the first ones."""
    course, number = turn.course, turn.course.rotation.number
    if course.rotation.refreshed:
        what, counters = "qr.refreshed", tallies.qr_refreshed()
    else:
        what, counters = "qr.shown", tallies.qr_shown(course.method, course.region, number)
    if number > course.limits.unanswered and course.body.hint is None:
        _change(turn, hint=Hint.NO_ANSWER)
        counters = (*counters, *tallies.unanswered())
    turn.add(c.Show(MessageType.QR_UPDATE, what, str(number), counters))


def turn_to_code(turn: T) -> None:
    """The page came for a QR and now waits for a code."""
    if turn.course.body.method is not Method.CODE:
        _change(turn, method=Method.CODE, failure=None)
        turn.add(c.Show(MessageType.STATUS, "code.asked", counters=tallies.turned_to_code()))


def claim_code(turn: T) -> None:
    """Of all companies one may ask for a phone's code, since a newer code kills the older."""
    number = turn.course.subject.phone
    assert number is not None  # noqa: S101 - the row's condition
    turn.add(c.ClaimCode(number, turn.course.rotation.dies))


def ask_code(turn: T) -> None:
    """Have WhatsApp make a code."""
    asker = turn.event.asker
    turn.set(asker=asker)
    turn.add(c.AskCode(asker.phone))


def show_code(turn: T) -> None:
    """WhatsApp has made a code."""
    course, event = turn.course, turn.event
    assert isinstance(event, pipe.Code)  # noqa: S101 - the row says so
    assert course.asker is not None  # noqa: S101 - the row's condition
    number = course.asker.phone
    expires_at = min(turn.now + course.limits.code, course.rotation.dies)
    _change(turn, code=CodeView(text=event.text, expires_at=expires_at, phone=phone.masked(number)), failure=None)
    region = phone.region_of(number)
    turn.add(c.Show(MessageType.PAIRING_CODE, "code.shown", region, tallies.code_shown(region)))


def book_refusal(turn: T) -> None:
    """WhatsApp gives no code; if it was a throttle, the asker has to wait."""
    event, asker = turn.event, turn.course.asker
    assert isinstance(event, pipe.CodeRefused)  # noqa: S101 - the row says so
    assert asker is not None  # noqa: S101 - the row's condition
    turn.set(asker=None)
    why = reasons.of_code_refusal(event.status)
    turn.add(c.BookRefusal(asker, why, f"{event.status} {event.reason}"))


def tell_no_code(turn: T) -> None:
    """The QR, if alive, stays."""
    denied = turn.event
    assert isinstance(denied, c.CodeDenied)  # noqa: S101 - the row says so
    number = turn.course.subject.phone
    turn.set(subject=replace(turn.course.subject, phone=None), asker=None)
    _change(turn, code=None, failure=reasons.view(denied.code, retry_at=denied.retry_at))
    counters = tallies.code_refused(denied.code)
    turn.add(
        c.ForgetPhone(),
        c.Show(
            MessageType.PAIRING_CODE_ERROR, "code.refused", f"{denied.code.value} {denied.other}".rstrip(), counters
        ),
    )
    if denied.raw:
        turn.add(c.AlertNoCode(denied.code, denied.raw, number))


def hang_up(turn: T) -> None:
    """The connection is over, and a code with it."""
    turn.set(dialled=False, asker=None)
    turn.add(c.HangUp())


def begin_anew(turn: T) -> None:
    """A fresh connection under a new number: the page goes on, with a new QR."""
    turn.add(c.Advance(_raw(turn)))


def count_restart(turn: T) -> None:
    """An attempt that begins anew by itself does so only so often."""
    turn.set(restarts=turn.course.restarts + 1)


def agree(turn: T) -> None:
    """The phone has agreed: a deadline of its own, and nothing of QR and code stays on the page."""
    course, event = turn.course, turn.event
    assert isinstance(event, pipe.Paired)  # noqa: S101 - the row says so
    deadline = turn.now + course.limits.finish
    turn.set(paired=event, deadline=deadline)
    turn.set(body=Body(state=State.LINKING, method=course.body.method, deadline=deadline))
    counters = tallies.agreed(course.method, course.region)
    turn.add(c.Show(MessageType.STATUS, "phone.agreed", counters=counters))


def revive(turn: T) -> None:
    """The device is in the file: another linker logs in with it."""
    paired = turn.course.paired
    assert paired is not None  # noqa: S101 - the row's phase
    turn.set(revived=True)
    turn.add(c.Dial(paired.jid))


def seek_newer(turn: T) -> None:
    """Look for a version that WhatsApp takes."""
    turn.add(c.SeekNewer(_raw(turn)))


def report_death(turn: T) -> None:
    """A linker died by itself."""
    assert isinstance(turn.event, Exited)  # noqa: S101 - the row says so
    turn.add(c.ReportDeath(turn.event))


def _adopt(turn: T, why: str) -> None:
    paired = turn.course.paired
    assert paired is not None  # noqa: S101 - the row's phase
    turn.set(unwelcome=why)
    turn.add(c.Adopt(paired.jid, turn.now, why))


def adopt_parked(turn: T) -> None:
    """A stranger's device is parked from the first moment on: if this worker dies now, nobody takes it up."""
    _adopt(turn, FailureCode.WRONG_NUMBER.value)


def adopt(turn: T) -> None:
    """Durable first, told second. A device of a revoked link is parked like a stranger's; a stranger is as well whom a
    link does not expect that joined late."""
    expected, paired = turn.event.expected, turn.course.paired
    if expected and paired is not None and not phone.same_account(expected, phone.of_jid(paired.jid)):
        _adopt(turn, FailureCode.WRONG_NUMBER.value)
    else:
        _adopt(turn, REVOKED if turn.event.revoked else "")


def keep_device(turn: T) -> None:
    """The device is durable."""
    turn.set(device=turn.event.device)


def log_out(turn: T) -> None:
    """A device that must not stay does not stay on the phone either."""
    device = turn.course.device
    assert device is not None  # noqa: S101 - the row's phase
    turn.set(unwelcome=turn.course.unwelcome or REVOKED)
    turn.add(c.LogOutDevice(device))


def end_linked(turn: T) -> None:
    """Linked: told, and held from now on."""
    course = turn.course
    device = course.device
    assert device is not None  # noqa: S101 - the row's phase
    view = DeviceView(phone=phone.masked(device.phone), name=course.device_name, linked_at=device.linked_at)
    method, known, region = course.method, course.region, phone.region_of(device.phone)
    body = Body(state=State.LINKED, method=method, device=view)
    counters = tallies.linked(method, known, region)
    turn.add(
        c.End(body, MessageType.WHATSAPP_CONNECTED, "attempt.linked", region, counters, region=region),
        c.HoldLinked(device, body, tallies.verified(method, known, region)),
    )


def unlink_if_wished(turn: T) -> None:
    """The platform wanted no device, and said so too late to stop this one."""
    if turn.course.unlink:
        turn.add(c.UnlinkAgain())


def remember_unlink(turn: T) -> None:
    """The phone has agreed: the wish is done as soon as there is a device."""
    turn.set(unlink=True)


def cool_banned_phone(turn: T) -> None:
    """A ban that says how long it lasts."""
    ended, paired = turn.event, turn.course.paired
    assert isinstance(ended, pipe.Ended)  # noqa: S101 - the row says so
    if ended.refusal is pipe.LostReason.BANNED and ended.until is not None and paired is not None:
        turn.add(c.CoolPhone(phone.of_jid(paired.jid), ended.until))


def hand_over(turn: T) -> None:
    """Another worker begins anew, for the same page."""
    turn.add(c.GiveLeaseBack(), c.Restart(turn.course.method))


def end_resting(turn: T, state: State, event: str) -> None:
    """The last snapshot of an attempt that ran out of time, or was taken back."""
    detail = turn.course.body.hint.value if turn.course.body.hint else ""
    turn.add(
        c.End(Body(state=state), MessageType.STATUS, event, detail, (tallies.ended(state),)),
        c.GiveLeaseBack(),
    )


def expire(turn: T) -> None:
    """Nobody scanned in time."""
    end_resting(turn, State.EXPIRED, "attempt.expired")


def cancel(turn: T) -> None:
    """The owner, or the platform, takes the attempt back."""
    end_resting(turn, State.CANCELLED, "attempt.cancelled")


def _raw(turn: T) -> str:
    """The library's, WhatsApp's or our own word for what happened."""
    match turn.event:
        case pipe.Word(word=word):
            return word
        case pipe.Ended(reason=reason):
            return reason
        case Exited(panic=panic):
            return panic or "linker died"
        case c.Broke(error=error):
            return error
        case c.TimeIsUp():
            return f"deadline in {turn.course.body.state}"
        case c.LoggedOut():
            return turn.course.unwelcome
        case c.NewerSought(raw=raw):
            return raw
        case c.Learned():
            return turn.course.refused.value if turn.course.refused else "too little time for a code"
        case _:
            return f"{type(turn.event).__name__.lower()} in {turn.course.body.state}"


def fail(code: FailureCode | None = None, *, alert: bool = True) -> Act[Course]:
    """The act that ends the attempt with a failure; without a `code`, with the one that the linker's word means."""

    def act(turn: T) -> None:
        course, retry_at, why, said = turn.course, None, code, ""
        match turn.event:
            case pipe.Word(word=word, said=said) if why is None:
                why = reasons.of_word(word).code
            case c.Learned() if why is None:
                why = course.refused
            case pipe.Ended(reason=reason, refusal=refusal, until=until):
                why, retry_at = reasons.of_ending(reason, refusal), until
                said = reason if refusal is not None else ""
            case c.NewerSought():
                retry_at = turn.event.retry_at
        why = why or FailureCode.INTERNAL
        body = Body(state=State.FAILED, method=course.body.method, failure=reasons.view(why, retry_at=retry_at))
        counters = (tallies.failed(why, course.region), tallies.ended(State.FAILED))
        turn.effects += [
            c.End(
                body,
                MessageType.ERROR,
                "attempt.failed",
                reasons.told(why, said),
                counters,
                raw=_raw(turn),
                alert=alert,
            ),
            c.GiveLeaseBack(),
        ]

    act.__name__ = f"fail_{code.name if code else 'by_word'}"
    return act


# --- the table ------------------------------------------------------------------------------------------------------

_OPEN = frozenset({P.CONNECTING, P.SHOWING})
_EARLY = frozenset({P.LEARNING, *_OPEN})
_RUNNING = frozenset({*_EARLY, P.AGREED, P.KEEPING})
_LEARNING, _CONNECTING, _SHOWING = frozenset({P.LEARNING}), frozenset({P.CONNECTING}), frozenset({P.SHOWING})
_AGREED, _KEEPING, _LATE = frozenset({P.AGREED}), frozenset({P.KEEPING}), frozenset({P.AGREED, P.KEEPING})
_CONNECTED = frozenset({*_OPEN, P.AGREED})
F = FailureCode

TABLE: tuple[Row, ...] = (
    # A connection begins. Where a linker waits it dials first: the library is under way while the rest is read and told.
    Row(c.Began, _LEARNING, None, (begin_clock, do(c.Dial()), do(c.Learn(whole=True))), warm),
    Row(c.Began, _LEARNING, None, (begin_clock, do(c.Learn(whole=True)))),
    Row(c.Learned, _LEARNING, P.OVER, (learn_subject, hang_up, fail()), refused),
    Row(c.Learned, _LEARNING, P.CONNECTING, (learn_subject, tell_connecting, dial)),
    # QRs. With the first one comes the code that was asked for: WhatsApp makes it while the QR is shown.
    Row(pipe.Qr, _CONNECTING, P.SHOWING, (next_qr, turn_to_code, claim_code, tell_qr), code_due),
    Row(pipe.Qr, _CONNECTING, P.SHOWING, (next_qr, tell_qr)),
    Row(pipe.Qr, _SHOWING, None, (next_qr, tell_qr)),
    # A code for the subject's phone: the living one, or a new one, but never two at once.
    Row(Order.CODE, _OPEN, None, (do(c.Learn(whole=False)),)),
    Row(c.Learned, _SHOWING, P.LEARNING, (learn_subject, turn_to_code, hang_up, begin_anew), too_late_for_a_code),
    Row(c.Learned, _SHOWING, None, (learn_subject, turn_to_code, claim_code), code_due),
    Row(c.Learned, _OPEN, None, (learn_subject,)),
    Row(c.CodeClaimed, _SHOWING, None, (ask_code,)),
    Row(c.CodeDenied, _SHOWING, None, (tell_no_code,)),
    Row(pipe.Code, _SHOWING, None, (show_code,), asked),
    Row(pipe.CodeRefused, _SHOWING, None, (book_refusal,), asked),
    # The library's words.
    Row(pipe.Word, _OPEN, P.LEARNING, (count_restart, hang_up, begin_anew), word_says_again),
    Row(pipe.Word, _CONNECTED, None, (seek_newer,), word_says_outdated),
    Row(pipe.Word, _SHOWING, P.OVER, (hang_up, expire), rotation_is_over),
    Row(pipe.Word, _CONNECTED, P.OVER, (hang_up, fail()), word_is_an_end),
    # The phone agrees.
    Row(pipe.Paired, _SHOWING, P.AGREED, (agree,)),
    Row(pipe.Paired, _CONNECTED - _SHOWING, P.OVER, (hang_up, fail(F.INTERNAL)), not_said_yet),
    Row(pipe.Connected, _AGREED, P.KEEPING, (adopt_parked,), stranger),
    Row(pipe.Connected, _AGREED, P.KEEPING, (do(c.Judge()),)),
    Row(pipe.Connected, _OPEN, P.OVER, (hang_up, fail(F.INTERNAL))),
    Row(c.Judged, _KEEPING, None, (adopt,)),
    Row(c.Adopted, _KEEPING, None, (keep_device, hang_up, log_out), unwelcome),
    Row(c.Adopted, _KEEPING, None, (keep_device, hang_up, do(c.SpendLink()))),
    Row(c.LinkSpent, _KEEPING, None, (log_out,), link_revoked),
    Row(c.LinkSpent, _KEEPING, P.OVER, (end_linked, unlink_if_wished)),
    Row(c.LoggedOut, _KEEPING, P.OVER, (fail(F.LINK_SPENT),), came_by_revoked_link),
    Row(c.LoggedOut, _KEEPING, P.OVER, (fail(F.WRONG_NUMBER),)),
    # WhatsApp refuses our version. Sentry hears of that from the keeper of the version, once, when nothing helps.
    Row(pipe.Ended, _AGREED, None, (seek_newer,), login_is_outdated),
    Row(c.NewerSought, _OPEN, P.LEARNING, (count_restart, hang_up, begin_anew), newer_may_begin_anew),
    Row(c.NewerSought, _AGREED, None, (revive,), newer_not_revived),
    Row(c.NewerSought, _CONNECTED, P.OVER, (hang_up, fail(F.CLIENT_OUTDATED, alert=False))),
    # The linker ends. After the phone's yes another one logs in with the file, once.
    Row(pipe.Ended, _CONNECTED, P.OVER, (hang_up, cool_banned_phone, fail())),
    Row(Exited, _OPEN, P.LEARNING, (report_death, count_restart, hang_up, begin_anew), may_begin_anew),
    Row(Exited, _AGREED, None, (report_death, revive), not_revived),
    Row(Exited, _CONNECTED, P.OVER, (report_death, hang_up, fail(F.INTERNAL, alert=False))),
    # Orders of others. From the phone's yes on it can only succeed or fail.
    Row(Order.CANCEL, _EARLY, P.OVER, (hang_up, cancel)),
    Row(Order.UNLINK, _EARLY, P.OVER, (hang_up, cancel, do(c.UnlinkAgain()))),
    Row(Order.UNLINK, _LATE, None, (remember_unlink,)),
    Row(Order.HAND_OVER, _EARLY, P.OVER, (hang_up, hand_over)),
    Row(Order.LOST, _RUNNING, P.OVER, (hang_up,)),
    # The time is up, or something is broken.
    Row(c.TimeIsUp, _SHOWING, P.OVER, (hang_up, expire)),
    Row(c.TimeIsUp, _RUNNING - _SHOWING, P.OVER, (hang_up, fail(F.CONNECTION_FAILED))),
    Row(c.Broke, _RUNNING, P.OVER, (hang_up, fail(F.INTERNAL, alert=False))),
)
