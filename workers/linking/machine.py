"""The machine of an attempt: `step(course, happening, now) -> (course, effects)`. No Redis, no pipe, no clock.

The table is the program: the first row that fits what happened, where the attempt stands, and its condition says where
the attempt goes, and what is done. What fits no row came late, or twice, and changes nothing. An effect that is answered
stands last in its row, or its answer changes nothing of what follows.
"""

from shared.core.failures import FailureCode
from shared.core.lifecycle import State, check_step
from workers.engine import protocol as pipe
from workers.engine.orders import Exited
from workers.linking import acts as act
from workers.linking import conditions as when
from workers.linking import course as c
from workers.linking.course import AttemptEvent, Course, Deed, Effect, Order, Phase, Turning
from workers.rules import Rule, Turn, advance, do

P = Phase
#: The state that the page sees in a phase.
_STATES = {P.CONNECTING: State.CONNECTING, P.SHOWING: State.AWAITING_PHONE, P.AGREED: State.LINKING}

T = Turn[Course]


def step(course: Course, happening: AttemptEvent, now: int) -> tuple[Course, tuple[Effect | Deed, ...]]:
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


_OPEN = frozenset({P.CONNECTING, P.SHOWING})
_EARLY = frozenset({P.LEARNING, *_OPEN})
_RUNNING = frozenset({*_EARLY, P.AGREED, P.KEEPING})
_LEARNING, _CONNECTING, _SHOWING = frozenset({P.LEARNING}), frozenset({P.CONNECTING}), frozenset({P.SHOWING})
_AGREED, _KEEPING, _LATE = frozenset({P.AGREED}), frozenset({P.KEEPING}), frozenset({P.AGREED, P.KEEPING})
_CONNECTED = frozenset({*_OPEN, P.AGREED})
F = FailureCode
_CONNECT = (act.learn_subject, act.tell_connecting, act.dial)
_ANEW = (act.hang_up, act.begin_anew)

TABLE: tuple[Rule[Course], ...] = (
    # A connection begins. Where a linker waits it dials first: the library is under way while the rest is read and told.
    Rule(c.Began, _LEARNING, None, (act.begin_clock, do(c.Dial()), do(c.Learn(whole=True))), when.warm),
    Rule(c.Began, _LEARNING, None, (act.begin_clock, do(c.Learn(whole=True)))),
    Rule(c.Learned, _LEARNING, P.OVER, (act.learn_subject, act.hang_up, act.fail()), when.refused),
    # A code that was asked for is claimed meanwhile: the linker asks WhatsApp for it as soon as it has a QR.
    Rule(c.Learned, _LEARNING, P.CONNECTING, (*_CONNECT, act.claim_code), when.code_due),
    Rule(c.Learned, _LEARNING, P.CONNECTING, _CONNECT),
    # QRs.
    Rule(pipe.Qr, _CONNECTING, P.SHOWING, (act.next_qr, act.tell_qr)),
    Rule(pipe.Qr | pipe.Code, _SHOWING, None, (), when.shown_already),
    Rule(pipe.Qr, _SHOWING, None, (act.next_qr, act.tell_qr)),
    # A code for the subject's phone: the living one, or a new one, but never two at once.
    Rule(Order.CODE, _OPEN, None, (do(c.Learn(whole=False)),)),
    Rule(c.Learned, _SHOWING, P.LEARNING, (act.learn_subject, act.turn_to_code, *_ANEW), when.too_late_for_a_code),
    Rule(c.Learned, _OPEN, None, (act.learn_subject, act.turn_to_code, act.claim_code), when.code_due),
    Rule(c.Learned, _OPEN, None, (act.learn_subject,)),
    Rule(c.CodeClaimed, _OPEN, None, (act.ask_code,)),
    Rule(c.CodeDenied, _OPEN, None, (act.tell_no_code,)),
    Rule(pipe.Code, _SHOWING, None, (act.show_code,), when.asked),
    Rule(pipe.CodeRefused, _SHOWING, None, (act.book_refusal,), when.asked),
    # The library's words.
    Rule(pipe.Word, _OPEN, P.LEARNING, (act.count_restart, *_ANEW), when.word_says_again),
    Rule(pipe.Word, _CONNECTED, None, (act.seek_newer,), when.word_says_outdated),
    Rule(pipe.Word, _SHOWING, P.OVER, (act.hang_up, act.expire), when.rotation_is_over),
    Rule(pipe.Word, _CONNECTED, P.OVER, (act.hang_up, act.fail()), when.word_is_an_end),
    # The phone agrees.
    Rule(pipe.Paired, _SHOWING, P.AGREED, (act.agree,)),
    Rule(pipe.Paired, _CONNECTED - _SHOWING, P.OVER, (act.hang_up, act.fail(F.INTERNAL)), when.not_said_yet),
    Rule(pipe.Connected, _AGREED, P.KEEPING, (act.adopt_parked,), when.stranger),
    Rule(pipe.Connected, _AGREED, P.KEEPING, (do(Deed.JUDGE),)),
    Rule(pipe.Connected, _OPEN, P.OVER, (act.hang_up, act.fail(F.INTERNAL))),
    Rule(c.Judged, _KEEPING, None, (act.adopt,)),
    Rule(c.Adopted, _KEEPING, None, (act.keep_device, act.hang_up, act.log_out), when.unwelcome),
    Rule(c.Adopted, _KEEPING, None, (act.keep_device, act.hang_up, do(Deed.SPEND_LINK))),
    Rule(Turning.LINK_REVOKED, _KEEPING, None, (act.log_out,)),
    Rule(Turning.LINK_SPENT, _KEEPING, P.OVER, (act.end_linked, act.unlink_if_wished)),
    Rule(Turning.LOGGED_OUT, _KEEPING, P.OVER, (act.fail(F.LINK_SPENT),), when.came_by_revoked_link),
    Rule(Turning.LOGGED_OUT, _KEEPING, P.OVER, (act.fail(F.WRONG_NUMBER),)),
    # WhatsApp refuses our version. Sentry hears of that from the keeper of the version, once, when nothing helps.
    Rule(pipe.Ended, _AGREED, None, (act.seek_newer,), when.login_is_outdated),
    Rule(c.NewerSought, _OPEN, P.LEARNING, (act.count_restart, *_ANEW), when.newer_may_begin_anew),
    Rule(c.NewerSought, _AGREED, None, (act.revive,), when.newer_not_revived),
    Rule(c.NewerSought, _CONNECTED, P.OVER, (act.hang_up, act.fail(F.CLIENT_OUTDATED, alert=False))),
    # The linker ends. After the phone's yes another one logs in with the file, once.
    Rule(pipe.Ended, _CONNECTED, P.OVER, (act.hang_up, act.cool_banned_phone, act.fail())),
    Rule(Exited, _OPEN, P.LEARNING, (act.report_death, act.count_restart, *_ANEW), when.may_begin_anew),
    Rule(Exited, _AGREED, None, (act.report_death, act.revive), when.not_revived),
    Rule(Exited, _CONNECTED, P.OVER, (act.report_death, act.hang_up, act.fail(F.INTERNAL, alert=False))),
    # Orders of others. From the phone's yes on it can only succeed or fail.
    Rule(Order.CANCEL, _EARLY, P.OVER, (act.hang_up, act.cancel)),
    Rule(Order.UNLINK, _EARLY, P.OVER, (act.hang_up, act.cancel, do(Deed.UNLINK_AGAIN))),
    Rule(Order.UNLINK, _LATE, None, (act.remember_unlink,)),
    Rule(Order.HAND_OVER, _EARLY, P.OVER, (act.hang_up, act.hand_over)),
    Rule(Order.LOST, _RUNNING, P.OVER, (act.hang_up,)),
    # The time is up, or something is broken.
    Rule(Turning.TIME_IS_UP, _SHOWING, P.OVER, (act.hang_up, act.expire)),
    Rule(Turning.TIME_IS_UP, _RUNNING - _SHOWING, P.OVER, (act.hang_up, act.fail(F.CONNECTION_FAILED))),
    Rule(c.Broke, _RUNNING, P.OVER, (act.hang_up, act.fail(F.INTERNAL, alert=False))),
)
