"""The scenario table: every way in which linking or a held session can go, and what must come of it.

One row per situation. Each is played by tests/e2e/test_scenarios.py with the real library against the emulator, and
printed into docs/failures.md. What a row says of states, failure, counter and Sentry is all of it: a state more, a
counter moved twice or an alert too many is a failing test.

One table is one file.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from shared.core.failures import FailureCode

Code = FailureCode


class Play(StrEnum):
    """What the owner and the phone do. Where a QR is scanned, it is the one that is shown then."""

    SCAN = "scans the QR"
    SCAN_EACH = "scans every QR that is shown"
    SCAN_AGAIN = "scans; nothing comes of it; scans again"
    SCAN_NEXT = "scans; scans the fresh QR that comes"
    TYPE = "asks for a code and types it"
    TYPE_WRONG_FIRST = "types a wrong code, then the right one"
    WRONG_THEN_OLD_QR = "types a wrong code, scans the QR, and then the fresh one"
    ASK = "asks for a code"
    ASK_TWICE = "asks for a code, and once more when it is refused"
    ASK_ELSEWHERE = "has a code; another company asks for one for the same phone"
    ASK_LINKED = "asks for a code for a phone that another company has linked"
    ASK_NONSENSE = "asks for a code for `8900`"
    ASK_OTHER = "asks for a code for another number than the link's"
    ASK_AND_SCAN = "asks for a code, does not get it, and scans the QR"
    LOOK = "only looks"
    SHORT_SCAN = "scans; the phone says why it cannot; cancels"
    CANCEL = "cancels while the QR is shown"
    LATE = "scans when the QR has been shown for a while"
    OLD_QR = "scans the QR that was taken back, and then the fresh one"
    KEEP = "scans, and is watched while it is held"
    LOG_OUT = "scans, and logs the device out on the phone at once"
    LOG_OUT_LATER = "scans, and logs the device out on the phone after the dwell"
    API = "scans; the platform unlinks the company by the API"
    SPENT = "scans; is unlinked; asks again with the same link"
    MALFORMED = "sends something that is no command"


@dataclass(frozen=True, slots=True)
class Arm:
    """A fault of emulator/faults.py, with its parameters. `tag`: it strikes before the phone is known."""

    fault: str
    tag: bool = False
    times: int | None = 1
    skip: int = 0
    delay: float | None = None
    status: int | None = None

    def __str__(self) -> str:
        told = [
            f"{name} {value}" for name, value in (("status", self.status), ("delay", self.delay)) if value is not None
        ]
        if self.skip:
            told.append("at the holder's login" if self.skip == 1 else f"at login {self.skip + 1}")
        if self.times is None:
            told.append("always")
        return f"`{self.fault}`" + (f" ({', '.join(told)})" if told else "")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row.

    `states` in order, without repetitions; `ending` is the last of them, or `refused` for a command that is refused.
    `counts` is the field of `wa:stats` that moves by one for this row (`{}` in it: labels); `retry_at`: the failure
    says when again. `number` and `expected`: the phone's digits and what the link expects, where they matter.
    """

    name: str
    play: Play
    states: str
    counts: str
    failure: FailureCode | None = None
    arms: tuple[Arm, ...] = ()
    sentry: bool = False
    retry_at: bool = False
    number: str | None = None
    expected: str | None = None
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def ending(self) -> str:
        """The state in which it ends."""
        return self.states.split()[-1]

    @property
    def text(self) -> str:
        """The key of the words that the page shows in the end, in `frontend/locales/`."""
        return f"failure.{self.failure.value}.title" if self.failure else f"step.{_STEPS[self.ending]}.title"

    @property
    def level(self) -> str | None:
        """The level at which Sentry hears of it: every code that WhatsApp did not give is at least a warning."""
        if self.sentry:
            return "error"
        return "warning" if any(arm.fault == "code-refused" for arm in self.arms) else None

    @property
    def tagged(self) -> bool:
        """Whether it needs a service of its own: something strikes before the phone is known."""
        return bool(self.settings) or any(arm.tag for arm in self.arms)


_STEPS = {"awaiting_phone": "qr", "unlinked": "start"}
_STEPS |= {state: state for state in ("linked", "reconnecting", "expired", "cancelled")}

BEGIN = "queued connecting awaiting_phone"
LINKED = f"{BEGIN} linking linked"
ANEW = f"{BEGIN} connecting awaiting_phone linking linked"

QR = 'linked{method="qr",region="RU"}'
TYPED = 'linked{method="code",region="RU"}'


def _failed(code: FailureCode, region: str = "ZZ") -> str:
    return f'failures{{code="{code.value}",region="{region}"}}'


def _ended(state: str) -> str:
    return f'endings{{state="{state}"}}'


def _no_code(code: FailureCode) -> str:
    return f'pairing_code_failures{{reason="{code.value}"}}'


def _refused(code: FailureCode) -> str:
    return f'refused_commands{{code="{code.value}"}}'


def _on_phone(fault: str, **parameters: float) -> tuple[Arm, ...]:
    return (Arm(fault, **parameters),)  # type: ignore[arg-type]


def _ends(name: str, play: Play, code: FailureCode, arm: Arm, after: str = BEGIN, **more: object) -> Scenario:
    """An attempt that fails, told to Sentry when the failure is one that we must hear of."""
    region = "RU" if play is Play.TYPE else "ZZ"
    return Scenario(
        name,
        play,
        f"{after} failed",
        _failed(code, region),
        code,
        (arm,),
        **more,  # type: ignore[arg-type]
    )


GOOD = [
    Scenario("the QR is scanned", Play.SCAN, LINKED, QR),
    Scenario("the code is typed", Play.TYPE, LINKED, TYPED),
    Scenario("a wrong code is typed first", Play.TYPE_WRONG_FIRST, LINKED, TYPED),
    Scenario("a wrong code kills the QRs of the connection", Play.WRONG_THEN_OLD_QR, ANEW, TYPED),
    Scenario("the owner takes his time to confirm", Play.SCAN, LINKED, QR, arms=_on_phone("phone-dawdles", delay=3)),
    Scenario("the phone is offline at first", Play.SCAN_AGAIN, LINKED, QR, arms=_on_phone("phone-offline")),
    Scenario("the owner says no at first", Play.SCAN_AGAIN, LINKED, QR, arms=_on_phone("phone-refuses")),
    Scenario(
        "the device outlives the dwell",
        Play.LOG_OUT_LATER,
        f"{LINKED} unlinked",
        'verified{method="qr",region="RU"}',
        Code.LOGGED_OUT,
    ),
    Scenario("the owner cancels", Play.CANCEL, f"{BEGIN} cancelled", _ended("cancelled")),
    Scenario("the platform unlinks the company", Play.API, f"{LINKED} unlinked", QR),
]

NUMBERS = [
    Scenario(
        "Brazil: the account has no ninth digit",
        Play.SCAN,
        LINKED,
        'linked{method="qr",region="BR"}',
        number="551187650001",
        expected="+55 11 98765-0001",
    ),
    Scenario(
        "Mexico: the account has a 1",
        Play.SCAN,
        LINKED,
        'linked{method="qr",region="MX"}',
        number="5215512340001",
        expected="+52 55 1234 0001",
    ),
    Scenario(
        "Argentina: the account has no 9",
        Play.SCAN,
        LINKED,
        'linked{method="qr",region="AR"}',
        number="541123450001",
        expected="+54 9 11 2345-0001",
    ),
    Scenario("Russia: the platform wrote 8", Play.SCAN, LINKED, QR, number="79001110001", expected="8 900 111-00-01"),
    Scenario(
        "another phone than the expected one scans",
        Play.SCAN,
        f"{BEGIN} linking failed",
        _failed(Code.WRONG_NUMBER, "RU"),
        Code.WRONG_NUMBER,
        expected="+7 900 111-00-02",
    ),
    Scenario(
        "another number than the expected one is typed",
        Play.ASK_OTHER,
        "refused",
        _refused(Code.WRONG_NUMBER),
        Code.WRONG_NUMBER,
        expected="+7 900 111-00-03",
    ),
    Scenario(
        "what is typed is no number", Play.ASK_NONSENSE, "refused", _refused(Code.INVALID_PHONE), Code.INVALID_PHONE
    ),
]

CODES = [
    Scenario(
        "too many codes for this phone (429)",
        Play.ASK,
        BEGIN,
        _no_code(Code.WHATSAPP_RATE_LIMITED),
        Code.WHATSAPP_RATE_LIMITED,
        _on_phone("code-refused", status=429),
        retry_at=True,
    ),
    Scenario(
        "the throttle that says 400",
        Play.ASK,
        BEGIN,
        _no_code(Code.CODE_NOT_AVAILABLE),
        Code.CODE_NOT_AVAILABLE,
        _on_phone("code-refused", status=400),
        retry_at=True,
    ),
    Scenario(
        "a phone that cannot use codes (452)",
        Play.ASK,
        BEGIN,
        _no_code(Code.CODE_NOT_AVAILABLE),
        Code.CODE_NOT_AVAILABLE,
        _on_phone("code-refused", status=452),
        retry_at=True,
    ),
    Scenario(
        "a phone that may not have a code (403)",
        Play.ASK,
        BEGIN,
        _no_code(Code.CODE_NOT_AVAILABLE),
        Code.CODE_NOT_AVAILABLE,
        _on_phone("code-refused", status=403),
        retry_at=True,
    ),
    Scenario(
        "WhatsApp is ill when a code is asked for (500)",
        Play.ASK,
        BEGIN,
        _no_code(Code.CONNECTION_FAILED),
        Code.CONNECTION_FAILED,
        _on_phone("code-refused", status=500),
        sentry=True,
    ),
    Scenario(
        "a refusal that nobody has seen yet (418)",
        Play.ASK,
        BEGIN,
        _no_code(Code.INTERNAL),
        Code.INTERNAL,
        _on_phone("code-refused", status=418),
        sentry=True,
    ),
    Scenario(
        "a code is refused, and the QR still links",
        Play.ASK_AND_SCAN,
        LINKED,
        TYPED,
        arms=_on_phone("code-refused", status=452),
    ),
    Scenario(
        "again within the cool-down",
        Play.ASK_TWICE,
        f"{BEGIN} refused",
        _refused(Code.COOL_DOWN),
        Code.COOL_DOWN,
        _on_phone("code-refused", status=429),
        retry_at=True,
    ),
    Scenario(
        "a second company wants a code for a phone with a living one",
        Play.ASK_ELSEWHERE,
        f"{BEGIN} refused",
        _refused(Code.IN_PROGRESS),
        Code.IN_PROGRESS,
        retry_at=True,
    ),
    Scenario(
        "a code is wanted for a phone whose device another company has",
        Play.ASK_LINKED,
        BEGIN,
        _no_code(Code.LINKED_ELSEWHERE),
        Code.LINKED_ELSEWHERE,
    ),
    Scenario(
        "the request for a code is not answered",
        Play.ASK,
        BEGIN,
        _no_code(Code.CONNECTION_FAILED),
        Code.CONNECTION_FAILED,
        _on_phone("code-silence"),
        sentry=True,
    ),
    Scenario(
        "the connection is cut when a code is asked for",
        Play.ASK,
        f"{BEGIN} failed",
        _failed(Code.CONNECTION_FAILED, "RU"),
        Code.CONNECTION_FAILED,
        _on_phone("code-cut"),
        sentry=True,
    ),
    Scenario("the code comes late", Play.TYPE, LINKED, TYPED, arms=_on_phone("code-late", delay=3)),
]

PHONE = [
    Scenario(
        "four devices are linked already",
        Play.SHORT_SCAN,
        f"{BEGIN} cancelled",
        _ended("cancelled"),
        arms=_on_phone("phone-device-limit"),
    ),
    _ends("an old WhatsApp on the phone", Play.SCAN, Code.MULTIDEVICE_OFF, Arm("phone-without-multidevice")),
    _ends("a passkey guards the account, at a scan", Play.SCAN, Code.PASSKEY_REQUIRED, Arm("phone-passkey")),
    _ends("a passkey guards the account, at a code", Play.TYPE, Code.PASSKEY_REQUIRED, Arm("phone-passkey")),
    Scenario(
        "the scan fails silently until the QRs run out",
        Play.SCAN,
        f"{BEGIN} expired",
        "unanswered_attempts",
        arms=_on_phone("pair-success-silence"),
    ),
]

PAIRING = [
    Scenario("pair-success comes late", Play.SCAN, LINKED, QR, arms=_on_phone("pair-success-late", delay=3)),
    _ends("cut instead of pair-success", Play.SCAN, Code.CONNECTION_FAILED, Arm("pair-success-cut"), sentry=True),
    Scenario("one pairing with a wrong HMAC", Play.SCAN_NEXT, ANEW, QR, arms=_on_phone("pair-wrong-hmac")),
    _ends(
        "every pairing with a wrong HMAC",
        Play.SCAN_EACH,
        Code.PAIRING_REFUSED,
        Arm("pair-wrong-hmac", times=None),
        f"{BEGIN} connecting awaiting_phone connecting awaiting_phone",
    ),
    Scenario("one pairing with a wrong signature", Play.SCAN_NEXT, ANEW, QR, arms=_on_phone("pair-wrong-signature")),
    _ends(
        "WhatsApp never got the client's signature",
        Play.SCAN,
        Code.PAIRING_REFUSED,
        Arm("pair-sign-lost"),
        f"{BEGIN} linking",
    ),
    Scenario("the 515 never comes", Play.SCAN, LINKED, QR, arms=_on_phone("restart-silence")),
    Scenario("cut instead of the 515", Play.SCAN, LINKED, QR, arms=_on_phone("restart-cut")),
    Scenario("the 515 comes late", Play.SCAN, LINKED, QR, arms=_on_phone("restart-late", delay=3)),
    Scenario("the 515 is followed by a cut", Play.SCAN, LINKED, QR, arms=_on_phone("restart-then-cut")),
]

_FIRST_LOGIN = f"{BEGIN} linking"
LOGIN = [
    _ends(
        "the first login is refused: 401",
        Play.SCAN,
        Code.PAIRING_REFUSED,
        Arm("login-refused", status=401),
        _FIRST_LOGIN,
    ),
    _ends(
        "the account is locked at the first login (403)",
        Play.SCAN,
        Code.ACCOUNT_RESTRICTED,
        Arm("login-refused", status=403),
        _FIRST_LOGIN,
    ),
    _ends(
        "the account is banned at the first login (406)",
        Play.SCAN,
        Code.ACCOUNT_RESTRICTED,
        Arm("login-refused", status=406),
        _FIRST_LOGIN,
    ),
    _ends(
        "the first login is refused: 409",
        Play.SCAN,
        Code.PAIRING_REFUSED,
        Arm("login-refused", status=409),
        _FIRST_LOGIN,
    ),
    _ends(
        "a ban meets the first login (402, with its end)",
        Play.SCAN,
        Code.TEMPORARILY_BANNED,
        Arm("login-refused", status=402),
        _FIRST_LOGIN,
        retry_at=True,
    ),
    _ends(
        "our version is too old at the first login (405)",
        Play.SCAN,
        Code.CLIENT_OUTDATED,
        Arm("login-refused", status=405),
        _FIRST_LOGIN,
        retry_at=True,
    ),
    Scenario(
        "WhatsApp is ill at the first login (503)", Play.SCAN, LINKED, QR, arms=_on_phone("login-refused", status=503)
    ),
    Scenario("no `success` after the login", Play.SCAN, LINKED, QR, arms=_on_phone("success-silence")),
    Scenario("cut instead of `success`", Play.SCAN, LINKED, QR, arms=_on_phone("success-cut")),
    Scenario("`success` comes late", Play.SCAN, LINKED, QR, arms=_on_phone("success-late", delay=3)),
    Scenario("cut while the keys are uploaded", Play.SCAN, LINKED, QR, arms=_on_phone("prekeys-cut")),
    Scenario("the keys are refused", Play.SCAN, LINKED, QR, arms=_on_phone("prekeys-refused")),
    Scenario("cut before the device is active", Play.SCAN, LINKED, QR, arms=_on_phone("active-cut")),
]

AGAIN = f"{LINKED} reconnecting linked"
HELD = [
    Scenario(
        "dropped within the dwell",
        Play.KEEP,
        f"{LINKED} failed",
        "dropped",
        Code.DROPPED_AFTER_LINKING,
        (Arm("dwell-drop", skip=1, delay=2),),
        sentry=True,
    ),
    Scenario(
        "logged out on the phone within the dwell",
        Play.LOG_OUT,
        f"{LINKED} failed",
        _failed(Code.DROPPED_AFTER_LINKING, "RU"),
        Code.DROPPED_AFTER_LINKING,
        sentry=True,
    ),
    Scenario(
        "the account is locked when the connection is made again (403)",
        Play.KEEP,
        f"{LINKED} reconnecting failed",
        _failed(Code.ACCOUNT_RESTRICTED, "RU"),
        Code.ACCOUNT_RESTRICTED,
        (Arm("connected-cut", skip=1), Arm("login-refused", skip=2, status=403)),
    ),
    Scenario(
        "replaced: the keys are used elsewhere",
        Play.KEEP,
        f"{LINKED} failed",
        _failed(Code.INTERNAL, "RU"),
        Code.INTERNAL,
        (Arm("conflict-replaced", skip=1),),
        sentry=True,
    ),
    Scenario(
        "banned while held, with its end",
        Play.KEEP,
        f"{LINKED} reconnecting failed",
        _failed(Code.TEMPORARILY_BANNED, "RU"),
        Code.TEMPORARILY_BANNED,
        (Arm("connected-cut", skip=1), Arm("login-refused", skip=2, status=402)),
        retry_at=True,
    ),
    Scenario(
        "our version becomes too old while held, and no newer one is known",
        Play.KEEP,
        f"{LINKED} reconnecting",
        _failed(Code.CLIENT_OUTDATED, "RU"),
        Code.CLIENT_OUTDATED,
        (Arm("connected-cut", skip=1), Arm("login-refused", skip=2, status=405)),
        retry_at=True,
    ),
    Scenario(
        "another refusal while held (409)",
        Play.KEEP,
        AGAIN,
        _failed(Code.CONNECTION_FAILED, "RU"),
        None,
        (Arm("connected-cut", skip=1), Arm("login-refused", skip=2, status=409)),
        sentry=True,
    ),
    Scenario("the connection of a held session is cut", Play.KEEP, AGAIN, QR, arms=(Arm("connected-cut", skip=1),)),
    Scenario("stream error 503 while held", Play.KEEP, AGAIN, QR, arms=(Arm("stream-error", skip=1, status=503),)),
    Scenario("stream error 500 while held", Play.KEEP, AGAIN, QR, arms=(Arm("stream-error", skip=1, status=500),)),
    Scenario(
        "stream error 515 while held: it connects again without a word",
        Play.KEEP,
        LINKED,
        QR,
        arms=(Arm("stream-error", skip=1, status=515),),
    ),
    Scenario("a ping of a held session is not answered", Play.KEEP, AGAIN, QR, arms=(Arm("keepalive-silence"),)),
]


def _early(
    name: str,
    fault: str,
    code: FailureCode = Code.CONNECTION_FAILED,
    *,
    after: str = "queued connecting",
    status: int | None = None,
    delay: float | None = None,
) -> Scenario:
    arm = Arm(fault, tag=True, status=status, delay=delay)
    sentry = code is Code.CONNECTION_FAILED
    return _ends(name, Play.LOOK, code, arm, after, sentry=sentry, retry_at=code is Code.CLIENT_OUTDATED)


EARLY = [
    _early("the proxy refuses", "connect-http-error", status=502),
    _early("the connection is reset", "connect-cut"),
    _early("no answer while dialling", "connect-silence"),
    _early("the websocket is refused", "websocket-http-error", status=503),
    _early("no handshake", "handshake-silence"),
    _early("cut in the handshake", "handshake-cut"),
    _early("a stranger's certificate", "handshake-bad-certificate"),
    _early("connected, but no QR ever", "refs-silence"),
    _early("cut before the QR", "refs-cut"),
    _early("cut while the QR is shown", "qr-cut", after=BEGIN, delay=1),
    _early("our version is too old (405)", "connect-refused", Code.CLIENT_OUTDATED, status=405),
    _early("a ban meets a client that is not linked (402)", "connect-refused", Code.PAIRING_REFUSED, status=402),
    _early("WhatsApp refuses the client (401)", "connect-refused", Code.PAIRING_REFUSED, status=401),
    _early("WhatsApp is ill (503)", "connect-refused", status=503),
    Scenario("dialling takes long", Play.SCAN, LINKED, QR, arms=(Arm("connect-late", tag=True, delay=3),)),
    Scenario("the handshake takes long", Play.SCAN, LINKED, QR, arms=(Arm("handshake-late", tag=True, delay=3),)),
    Scenario("the QR comes late", Play.SCAN, LINKED, QR, arms=(Arm("refs-late", tag=True, delay=3),)),
    Scenario(
        "no scan can link any more, and nobody says so",
        Play.SHORT_SCAN,
        f"{BEGIN} cancelled",
        _ended("cancelled"),
        arms=(Arm("qr-retired", tag=True),),
    ),
    Scenario(
        "companion_reg_refresh: the QR on screen is taken back",
        Play.LATE,
        LINKED,
        "qr_secrets_refreshed",
        arms=(Arm("companion-reg-refresh", tag=True, delay=2),),
    ),
    Scenario(
        "companion_reg_refresh, and the old QR is scanned",
        Play.OLD_QR,
        ANEW,
        "qr_secrets_refreshed",
        arms=(Arm("companion-reg-refresh", tag=True, delay=2),),
    ),
    Scenario(
        "WhatsApp closes long before the QRs run out",
        Play.LOOK,
        f"{BEGIN} failed",
        _failed(Code.CONNECTION_FAILED),
        Code.CONNECTION_FAILED,
        sentry=True,
        settings={"pairing_seconds": 2},
    ),
]

COMMANDS = [
    Scenario(
        "the link was used up", Play.SPENT, f"{LINKED} unlinked refused", _refused(Code.LINK_SPENT), Code.LINK_SPENT
    ),
    Scenario("a message that is no command", Play.MALFORMED, "refused", _refused(Code.FORBIDDEN), Code.FORBIDDEN),
]

SCENARIOS: tuple[Scenario, ...] = (
    *GOOD,
    *NUMBERS,
    *CODES,
    *PHONE,
    *PAIRING,
    *LOGIN,
    *HELD,
    *EARLY,
    *COMMANDS,
)

_LOCALE = json.loads((Path(__file__).parents[1] / "frontend" / "locales" / "en.json").read_text(encoding="utf-8"))


def words(scenario: Scenario) -> str:
    """The English words of the page in the end."""
    said: str = _LOCALE[scenario.text]
    return said
