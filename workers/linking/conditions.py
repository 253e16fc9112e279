"""Conditions of the attempt's table (workers/linking/machine.py): each looks at one turn. Pure."""

from shared.core import phone
from shared.state.claims import REVOKED, Subject
from workers import reasons
from workers.engine import protocol as pipe
from workers.linking import course as c
from workers.linking.course import Course
from workers.reasons import Verdict
from workers.rules import Turn

T = Turn[Course]


def subject_of(turn: T) -> Subject:
    """The attempt's subject. If Redis has lost its memory, what the attempt knows counts."""
    happening, known = turn.event, turn.course.subject
    return (
        happening.subject if isinstance(happening, c.Learned) and (happening.subject.link or not known.link) else known
    )


def warm(turn: T) -> bool:
    """A linker waits."""
    return bool(turn.event.warm and turn.event.refused is None)


def refused(turn: T) -> bool:
    """There must be no attempt: the operator wants none now, or there is no room to hold what it would link."""
    return turn.course.refused is not None


def code_due(turn: T) -> bool:
    """A code was asked for that WhatsApp has not been asked for yet on this connection."""
    return subject_of(turn).phone is not None and turn.course.asker is None


def too_late_for_a_code(turn: T) -> bool:
    """A code would die with its connection before anybody has typed it."""
    return code_due(turn) and turn.course.rotation.dies - turn.now < turn.course.limits.code_least


def asked(turn: T) -> bool:
    """WhatsApp was asked for a code on this connection."""
    return turn.course.asker is not None


def shown_already(turn: T) -> bool:
    """The linker has said so before."""
    body, text = turn.course.body, turn.event.text
    return text in {body.qr and body.qr.text, body.code and body.code.text}


def _is(turn: T, verdict: Verdict) -> bool:
    return reasons.of_word(turn.event.word).verdict is verdict


def may_begin_anew(turn: T) -> bool:
    """An attempt begins anew by itself so often, and no more."""
    return turn.course.restarts < turn.course.limits.restarts


def word_says_again(turn: T) -> bool:
    """The library's word means that a fresh connection may succeed, and one may still be made."""
    return _is(turn, Verdict.AGAIN) and may_begin_anew(turn)


def word_says_outdated(turn: T) -> bool:
    """WhatsApp refuses the version that our client claims."""
    return _is(turn, Verdict.OUTDATED)


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
    return _is(turn, Verdict.USED_UP) and bool(dies) and turn.now > dies - turn.course.limits.used_up_early


def word_is_an_end(turn: T) -> bool:
    """The library's word ends the attempt."""
    return not _is(turn, Verdict.GO_ON)


def not_said_yet(turn: T) -> bool:
    """The linker has not said the same before."""
    return bool(turn.event.jid != turn.course.jid)


def not_revived(turn: T) -> bool:
    """A phone is not asked twice: another linker may log in with the file. Once: a second death has a reason."""
    return not turn.course.revived


def stranger(turn: T) -> bool:
    """Another phone than the expected one has agreed."""
    return is_another(turn, turn.course.subject.expected)


def is_another(turn: T, expected: str | None) -> bool:
    """Another phone has agreed than the one that is expected, if one is."""
    return expected is not None and not phone.same_account(expected, phone.of_jid(turn.course.jid))


def unwelcome(turn: T) -> bool:
    """The phone that has agreed must not stay."""
    return bool(turn.course.unwelcome)


def came_by_revoked_link(turn: T) -> bool:
    """The device must not stay because its link was revoked meanwhile."""
    return turn.course.unwelcome == REVOKED
