"""Acts of the attempt's table (workers/linking/machine.py): each changes the course, or adds effects. Pure.

One file, as it is one column of that table.
"""

from collections.abc import Callable
from typing import Any

from shared.core import phone
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import Body, CodeView, FailureView, Hint, MessageType, Method
from shared.state.claims import REVOKED
from shared.telemetry.metrics import Counter, ended, failed, field
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.engine.orders import Exited
from workers.linking import conditions as when
from workers.linking import course as c
from workers.linking.course import Course, Deed, Turning
from workers.linking.rotation import Rotation
from workers.rules import Turn, kind_of, name_of, worded

T = Turn[Course]


def _change(turn: T, **changes: Any) -> None:
    turn.set(body=turn.course.body.model_copy(update=changes))


def begin_clock(turn: T) -> None:
    """Give a new connection a deadline and QRs of its own."""
    limits = turn.course.limits
    turn.set(deadline=turn.now + limits.attempt, rotation=Rotation(), asker=None)
    turn.set(refused=turn.event.refused, dialled=when.warm(turn))


def learn_subject(turn: T) -> None:
    """Know whom the attempt is about."""
    turn.set(subject=when.subject_of(turn))
    method = turn.event.method
    if method is not None:
        _change(turn, method=method)


def tell_connecting(turn: T) -> None:
    """Show a fresh page, with nothing of the connection before."""
    course = turn.course
    turn.set(body=Body(state=State.CONNECTING, method=course.body.method, deadline=course.deadline))
    turn.add(c.Show(MessageType.STATUS, "attempt.connecting"))


def dial(turn: T) -> None:
    """Connect, unless that is under way."""
    if not turn.course.dialled:
        turn.add(c.Dial())
    turn.set(dialled=True)


def next_qr(turn: T) -> None:
    event = turn.event
    rotation, view = turn.course.rotation.next(event.text, event.born, turn.course.limits.qr)
    turn.set(rotation=rotation)
    _change(turn, state=State.AWAITING_PHONE, qr=view)


def tell_qr(turn: T) -> None:
    """Show the QR, and a hint when nobody has answered the first ones."""
    course, number = turn.course, turn.course.rotation.number
    what, counters = "qr.shown", tallies.qr_shown(course.method, course.subject.region, number)
    if course.rotation.refreshed:
        what, counters = "qr.refreshed", (field(Counter.QR_REFRESHED),)
    if number > course.limits.unanswered and course.body.hint is None:
        _change(turn, hint=Hint.NO_ANSWER)
        counters = (*counters, field(Counter.UNANSWERED))
    turn.add(c.Show(MessageType.QR_UPDATE, what, str(number), counters))


def turn_to_code(turn: T) -> None:
    """Have the page, which came for a QR, wait for a code."""
    if turn.course.body.method is not Method.CODE:
        _change(turn, method=Method.CODE, failure=None)
        turn.add(c.Show(MessageType.STATUS, "code.asked", counters=(field(Counter.QR_TO_CODE),)))


def claim_code(turn: T) -> None:
    """Claim the phone's code: one company at a time may ask for it, since a newer code kills the older.

    Until the first QR nobody knows when the QRs are over, but the attempt's deadline ends them as well.
    """
    course = turn.course
    assert course.subject.phone is not None  # noqa: S101 - the row's condition
    turn.add(c.ClaimCode(course.subject.phone, course.rotation.dies or course.deadline))


def ask_code(turn: T) -> None:
    turn.set(asker=turn.event.asker)
    turn.add(c.AskCode(turn.event.asker.phone))


def show_code(turn: T) -> None:
    course, event = turn.course, turn.event
    assert course.asker is not None  # noqa: S101 - the row's condition
    number = course.asker.phone
    expires_at = min(turn.now + course.limits.code, course.rotation.dies)
    _change(turn, code=CodeView(text=event.text, expires_at=expires_at, phone=phone.masked(number)), failure=None)
    region = phone.region_of(number)
    turn.add(c.Show(MessageType.PAIRING_CODE, "code.shown", region, tallies.code_shown(region)))


def book_refusal(turn: T) -> None:
    """Book that WhatsApp gives no code. After a throttle the asker has to wait."""
    event, asker = turn.event, turn.course.asker
    assert asker is not None  # noqa: S101 - the row's condition
    turn.set(asker=None)
    why = reasons.of_code_refusal(event.status)
    turn.add(c.BookRefusal(asker, why, f"{event.status} {event.reason}"))


def tell_no_code(turn: T) -> None:
    """Show why there is no code. A QR that is alive stays."""
    denied = turn.event
    number = turn.course.subject.phone
    turn.set(subject=replace(turn.course.subject, phone=None), asker=None)
    _change(turn, code=None, failure=FailureView.of(denied.code, denied.retry_at))
    counters = (field(Counter.CODE_FAILURES, reason=denied.code.value),)
    detail = f"{denied.code.value} {denied.other}".rstrip()
    turn.add(Deed.FORGET_PHONE, c.Show(MessageType.PAIRING_CODE_ERROR, "code.refused", detail, counters))
    if denied.raw:
        turn.add(c.AlertNoCode(denied.code, denied.raw, number))


def hang_up(turn: T) -> None:
    """End the connection, and with it a code. A device that the phone lists and nobody keeps is logged out first."""
    is_settled = turn.course.device is not None or getattr(turn.event, "refusal", None) is not None
    turn.set(dialled=False, asker=None)
    turn.add(c.HangUp("" if is_settled else turn.course.jid))


def begin_anew(turn: T) -> None:
    """Begin a fresh connection under a new number. The page goes on, with a new QR."""
    turn.add(c.Advance(_raw(turn)))


def count_restart(turn: T) -> None:
    """Count that the attempt begins anew by itself, which it may do only so often."""
    turn.set(restarts=turn.course.restarts + 1)


def agree(turn: T) -> None:
    """Give a phone that has agreed a deadline of its own, and take QR and code off the page."""
    course, event = turn.course, turn.event
    deadline = turn.now + course.limits.finish
    turn.set(jid=event.jid, deadline=deadline)
    turn.set(body=Body(state=State.LINKING, method=course.body.method, deadline=deadline))
    counters = tallies.agreed(course.method, course.subject.region)
    turn.add(c.Show(MessageType.STATUS, "phone.agreed", counters=counters))


def revive(turn: T) -> None:
    """Have another linker log in with the device, which is in the file."""
    turn.set(revived=True)
    turn.add(c.Dial(turn.course.jid))


def seek_newer(turn: T) -> None:
    """Look for a version that WhatsApp takes."""
    turn.add(c.SeekNewer(_raw(turn)))


def report_death(turn: T) -> None:
    """Report a linker that died by itself."""
    turn.add(c.ReportDeath(turn.event))


def _adopt(turn: T, why: str) -> None:
    turn.set(unwelcome=why)
    turn.add(c.Adopt(turn.course.jid, turn.now, why))


def adopt_parked(turn: T) -> None:
    """Mark the device as unwelcome. It is parked from the first moment on, so that nobody takes it up if this worker dies."""
    _adopt(turn, FailureCode.WRONG_NUMBER.value)


def adopt(turn: T) -> None:
    """Make the device durable before anybody is told. If its link was revoked, or expects another phone, it is parked."""
    if when.is_another(turn, turn.event.expected):
        _adopt(turn, FailureCode.WRONG_NUMBER.value)
    else:
        _adopt(turn, REVOKED if turn.event.revoked else "")


def keep_device(turn: T) -> None:
    """Take the device that is durable now."""
    turn.set(device=turn.event.device)


def log_out(turn: T) -> None:
    """Log out a device that must not stay, so that it does not stay on the phone either."""
    device = turn.course.device
    assert device is not None  # noqa: S101 - the row's phase
    turn.set(unwelcome=turn.course.unwelcome or REVOKED)
    turn.add(c.LogOutDevice(device))


def end_linked(turn: T) -> None:
    """Tell that the device is linked, and have it held from now on."""
    course = turn.course
    device = course.device
    assert device is not None  # noqa: S101 - the row's phase
    method, known, region = course.method, course.subject.region, phone.region_of(device.phone)
    body = Body(state=State.LINKED, method=method, device=device.view(course.device_name))
    counters = tallies.linked(method, known, region)
    turn.add(
        c.End(body, MessageType.WHATSAPP_CONNECTED, "attempt.linked", region, counters, region=region),
        c.HoldLinked(device, body, tallies.verified(method, known, region)),
    )


def unlink_if_wished(turn: T) -> None:
    """Have the device logged out that the platform did not want: it said so too late to stop the link."""
    if turn.course.unlink:
        turn.add(Deed.UNLINK_AGAIN)


def remember_unlink(turn: T) -> None:
    """Remember the platform's wish: the phone has agreed, so it is done as soon as there is a device."""
    turn.set(unlink=True)


def cool_banned_phone(turn: T) -> None:
    """Give a banned phone no code, if the ban says how long it lasts."""
    ended, jid = turn.event, turn.course.jid
    if ended.refusal is pipe.LostReason.BANNED and ended.until is not None and jid:
        turn.add(c.CoolPhone(phone.of_jid(jid), ended.until))


def hand_over(turn: T) -> None:
    """Have another worker begin anew, for the same page."""
    turn.add(Deed.GIVE_LEASE_BACK, c.Restart(turn.course.method))


@worded
def _end(turn: T, state: State, event: str) -> None:
    """End an attempt that ran out of time, or was taken back."""
    detail = turn.course.body.hint.value if turn.course.body.hint else ""
    end = c.End(Body(state=state), MessageType.STATUS, event, detail, (ended(state),))
    turn.add(end, Deed.GIVE_LEASE_BACK)


expire = _end(State.EXPIRED, "attempt.expired")
cancel = _end(State.CANCELLED, "attempt.cancelled")


#: The library's, WhatsApp's or our own word for what happened.
_RAW: dict[object, Callable[[T], str]] = {
    pipe.Word: lambda turn: turn.event.word,
    pipe.Ended: lambda turn: turn.event.reason,
    Exited: lambda turn: turn.event.panic or "linker died",
    c.Broke: lambda turn: turn.event.error,
    c.NewerSought: lambda turn: turn.event.raw,
    c.Learned: lambda turn: turn.course.refused or "too little time for a code",
    Turning.TIME_IS_UP: lambda turn: f"deadline in {turn.course.body.state}",
    Turning.LOGGED_OUT: lambda turn: turn.course.unwelcome,
}


def _raw(turn: T) -> str:
    said = _RAW.get(kind_of(turn.event))
    return said(turn) if said else f"{name_of(turn.event).lower()} in {turn.course.body.state}"


@worded
def fail(turn: T, code: FailureCode | None = None, *, alert: bool = True) -> None:
    """End the attempt with a failure; without a `code`, with the one that the linker's word means."""
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
    body = Body(state=State.FAILED, method=course.body.method, failure=FailureView.of(why, retry_at))
    counters = (failed(why, course.subject.region), ended(State.FAILED))
    told, raw = reasons.told(why, said), _raw(turn)
    end = c.End(body, MessageType.ERROR, "attempt.failed", told, counters, raw=raw, alert=alert)
    turn.add(end, Deed.GIVE_LEASE_BACK)
