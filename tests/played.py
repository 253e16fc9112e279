"""The scenario table played on the machines alone: no process, no Redis, and a clock that is set.

`Player` stands in for everything around an attempt: it answers effects as a healthy world would, and writes down what the
page, the counters and Sentry were told. `play` says for each row what the linker and the holder would say.

One world, which its effects change and its rows read: one file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from shared.core.failures import FAILURES, FailureCode
from shared.core.ids import SessionId
from shared.core.protocol import Body, Method
from shared.state.claims import Subject
from shared.state.cooldowns import Asker
from tests.scenarios import Play, Scenario
from workers.engine import protocol as pipe
from workers.linking import course as c
from workers.linking import machine
from workers.linking.course import Course, Order
from workers.linking.limits import AttemptLimits
from workers.rules import kind_of
from workers.store.device import StoredDevice

SESSION = SessionId("company_salon-1")
START = 1_800_000_000_000
RETRY_AT = START + 3_600_000
LostReason = pipe.LostReason


@dataclass
class Player:
    """One attempt, played. `phone` is asked a code for; `expected` is what the link says. `answers` come instead of the
    healthy ones."""

    phone: str | None = None
    expected: str | None = None
    warm: bool = True
    refused: FailureCode | None = None
    code_denied: c.CodeDenied | None = None
    revoked: bool = False
    spent: bool = True
    newer: bool = False
    answers: dict[object, Any] = field(default_factory=dict)
    now: int = START
    course: Course = field(default_factory=lambda: Course(AttemptLimits(), "Salon"))
    states: list[str] = field(default_factory=lambda: ["queued"])
    told: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    done: list[Any] = field(default_factory=list)
    ending: Body | None = None
    held: c.HoldLinked | None = None

    def begin(self) -> "Player":
        """The worker has taken the attempt."""
        self.happen(c.Began(self.warm, self.refused))
        return self

    @property
    def subject(self) -> Subject:
        """What Redis keeps."""
        return Subject("L", START + 60_000, phone=self.phone, expected=self.expected, address="")

    def happen(self, *events: Any) -> "Player":
        """Let these happen, one after the other, each with all that comes of it."""
        for event in events:
            self.course, effects = machine.step(self.course, event, self.now)
            for effect in effects:
                self.done.append(effect)
                if (answer := self._answer(effect)) is not None:
                    self.happen(answer)
        return self

    def copy(self) -> "Player":
        """One that goes on by itself from here."""
        lists: dict[str, Any] = {name: list(value) for name, value in vars(self).items() if isinstance(value, list)}
        return replace(self, **lists)

    def later(self, ms: int) -> "Player":
        """Let time pass."""
        self.now += ms
        return self

    def did(self, kind: object) -> list[Any]:
        """The effects of a kind so far."""
        return [one for one in self.done if kind_of(one) is kind]

    def _show(self, body: Body, event: str, counters: Iterable[str]) -> None:
        self.told.append(event)
        self.counted += counters
        if self.states[-1] != body.state.value:
            self.states.append(body.state.value)

    def _answer(self, effect: Any) -> Any:
        if kind_of(effect) in self.answers:
            return self.answers[kind_of(effect)]
        match effect:
            case c.Show():
                self._show(self.course.body, effect.event, effect.counters)
            case c.End():
                assert self.ending is None, "it ends once"
                self.ending = effect.body
                self._show(effect.body, effect.event, effect.counters)
                failure = effect.body.failure
                if failure is not None and effect.alert and FAILURES[failure.code].alerts:
                    self.alerts.append(failure.code.value)
            case c.AlertNoCode():
                self.alerts.append(effect.code.value)
            case c.ReportDeath():
                self.alerts.append("engine")
            case c.Learn(whole=whole):
                return c.Learned(self.subject, (Method.CODE if self.phone else Method.QR) if whole else None)
            case c.Advance():
                return c.Began(self.warm, self.refused)
            case c.ClaimCode(phone=phone):
                return self.code_denied or c.CodeClaimed(Asker(phone, SESSION, ""))
            case c.BookRefusal(why=why, raw=raw):
                return c.CodeDenied(why.code, RETRY_AT if why.throttle else None, raw)
            case c.Deed.FORGET_PHONE:
                self.phone = None
            case c.Deed.JUDGE:
                return c.Judged(self.revoked, self.expected)
            case c.Adopt(jid=jid, linked_at=at, parked=parked):
                return c.Adopted(StoredDevice(SESSION, jid, at, "/nowhere", parked, 1))
            case c.Deed.SPEND_LINK:
                return c.Turning.LINK_SPENT if self.spent else c.Turning.LINK_REVOKED
            case c.LogOutDevice():
                return c.Turning.LOGGED_OUT
            case c.SeekNewer(raw=raw):
                return c.NewerSought(self.newer, RETRY_AT, raw)
            case c.HoldLinked():
                self.held = effect
            case _:
                pass
        return None


# --- what a linker says -----------------------------------------------------------------------------------------------


def qr(number: int, *, secret: str = "s", born: int = START) -> pipe.Qr:
    """The QR of that number."""
    return pipe.Qr(text=f"https://wa.me/settings/linked_devices#2@{number},n,i,{secret},1", number=number, born=born)


def paired(number: str) -> pipe.Paired:
    """The phone has agreed."""
    return pipe.Paired(jid=f"{number}:1@s.whatsapp.net", lid="")


CONNECTED = pipe.Connected()
CODE = pipe.Code(text="ABCD-EFGH")


def word(text: str) -> pipe.Word:
    """A login-status word."""
    return pipe.Word(word=text)


def ended(reason: str, refusal: LostReason | None = None, until: int | None = None) -> pipe.Ended:
    """The linker's own end."""
    return pipe.Ended(reason=reason, refusal=refusal, until=until)


_REFUSALS = {
    401: LostReason.LOGGED_OUT,
    402: LostReason.BANNED,
    403: LostReason.RESTRICTED,
    406: LostReason.RESTRICTED,
    405: LostReason.OUTDATED,
    409: LostReason.REFUSED,
}
#: What the library says where a connection is refused before a phone is known (`emulator/faults.py` has each).
_BEFORE_A_QR = {
    "connect-http-error": ended("websocket: failed to dial: proxy: 502"),
    "connect-cut": ended("read: connection reset by peer"),
    "connect-silence": ended("no QR within 30 s"),
    "websocket-http-error": ended("failed to dial WhatsApp web websocket: status code 503"),
    "handshake-silence": ended("noise handshake: timed out"),
    "handshake-cut": ended("noise handshake: timed out"),
    "handshake-bad-certificate": ended("x509: certificate signed by unknown authority"),
    "refs-silence": ended("no QR within 30 s"),
    "refs-cut": word("timeout"),
}
_REFUSED_CLIENT = {405: "err-client-outdated", 401: "err-unexpected-state", 402: "err-unexpected-state", 503: "timeout"}
_AFTER_A_SCAN = {
    "phone-without-multidevice": word("err-scanned-without-multidevice"),
    "phone-passkey": word("passkey-request"),
    "pair-success-cut": word("timeout"),
}


def play(scenario: Scenario) -> Player:
    """The linking part of a row. Commands that web refuses, and what happens to a held session, come to nothing here."""
    number = scenario.number or "79001112233"
    faults = {arm.fault: arm for arm in scenario.arms if not arm.skip}
    by_code = scenario.play in _CODE_PLAYS
    player = Player(phone=f"+{number}" if by_code else None, expected=_digits(scenario.expected))
    if scenario.play in {Play.ASK_NONSENSE, Play.ASK_OTHER, Play.MALFORMED}:
        player.states = []
        return player
    if scenario.play is Play.ASK_LINKED:
        player.code_denied = c.CodeDenied(FailureCode.LINKED_ELSEWHERE, other="company_other")
    player.begin()
    for fault, said in _BEFORE_A_QR.items():
        if fault in faults:
            return player.happen(said)
    if "connect-refused" in faults:
        return player.happen(word(_REFUSED_CLIENT[faults["connect-refused"].status or 405]))
    player.happen(qr(1))
    if scenario.play is Play.ASK_LINKED:
        return player
    if by_code and not _code(player, faults):
        return player
    _scan(player, scenario, faults, number)
    return player


_CODE_PLAYS = {
    Play.TYPE,
    Play.TYPE_WRONG_FIRST,
    Play.WRONG_THEN_OLD_QR,
    Play.ASK,
    Play.ASK_TWICE,
    Play.ASK_ELSEWHERE,
    Play.ASK_LINKED,
    Play.ASK_AND_SCAN,
}


def _digits(expected: str | None) -> str | None:
    return None if expected is None else {"8": "+7"}.get(expected[0], "") + _plain(expected)


def _plain(expected: str) -> str:
    kept = "".join(one for one in expected if one.isdigit() or one == "+")
    return kept[1:] if kept[0] == "8" else kept


def _code(player: Player, faults: dict[str, Any]) -> bool:
    """Whether a code is shown, or the QR still does."""
    if "code-cut" in faults:
        player.happen(word("timeout"))
        return False
    if "code-silence" in faults:
        player.happen(pipe.CodeRefused(status=None, reason="no answer"))
    elif "code-refused" in faults:
        player.happen(pipe.CodeRefused(status=faults["code-refused"].status, reason="said no"))
    else:
        player.happen(CODE)
    return True


def _scan(player: Player, scenario: Scenario, faults: dict[str, Any], number: str) -> None:
    match scenario.play:
        case Play.ASK | Play.ASK_TWICE | Play.ASK_ELSEWHERE:
            return
        case Play.CANCEL | Play.SHORT_SCAN:
            player.happen(Order.CANCEL)
            return
        case Play.LOOK:
            player.happen(word("timeout"))  # cut while the QR is shown
            return
        case Play.WRONG_THEN_OLD_QR:
            player.happen(word("error"), qr(1), CODE)
        case Play.LATE:
            player.happen(qr(1, secret="s2", born=START + 2_000))
        case Play.OLD_QR:
            player.happen(qr(1, secret="s2", born=START + 2_000), word("error"), qr(1))
        case Play.SCAN_EACH:
            player.happen(word("error"), qr(1), word("error"), qr(1), word("error"))
            return
        case Play.SCAN_NEXT:
            player.happen(word("error"), qr(1))
        case _:
            pass
    for fault, said in _AFTER_A_SCAN.items():
        if fault in faults:
            player.happen(said)
            return
    if "pair-success-silence" in faults:
        for n in range(2, 7):
            player.later(20_000).happen(qr(n, born=player.now))
        player.later(80_000).happen(word("timeout"))
        return
    player.happen(paired(number))
    if "pair-sign-lost" in faults:
        player.happen(ended("logged out", LostReason.LOGGED_OUT))
        return
    refused = faults.get("login-refused")
    if refused is not None and refused.status in _REFUSALS:
        refusal = _REFUSALS[refused.status]
        player.happen(ended("refused", refusal, RETRY_AT if refusal is LostReason.BANNED else None))
        return
    player.happen(CONNECTED)
