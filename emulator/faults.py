"""The catalogue of misbehaviours: what the server, the network or the phone can be told to do wrong.

Most are one of three shapes at one step of the protocol: `<step>-silence` (the step's message never comes), `<step>-cut` (the
connection is cut instead) and `<step>-late` (it comes after `delay` seconds). `README.md` prints this table; a test compares.

A table, hence one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """A moment at which the server owes the client something."""

    CONNECT = "connect"
    HANDSHAKE = "handshake"
    REFS = "refs"
    CODE = "code"
    PAIR_SUCCESS = "pair-success"
    RESTART = "restart"
    SUCCESS = "success"
    PREKEYS = "prekeys"
    ACTIVE = "active"
    USYNC = "usync"
    KEYS = "keys"
    MESSAGE = "message"


class Fault(StrEnum):
    """Everything that can be armed, by rule, by tag or by phone number."""

    CONNECT_HTTP_ERROR = "connect-http-error"
    CONNECT_SILENCE = "connect-silence"
    CONNECT_CUT = "connect-cut"
    CONNECT_LATE = "connect-late"
    WEBSOCKET_HTTP_ERROR = "websocket-http-error"
    WEB_PAGE_REFUSED = "web-page-refused"
    WEB_SCRIPT_REFUSED = "web-script-refused"
    HANDSHAKE_SILENCE = "handshake-silence"
    HANDSHAKE_CUT = "handshake-cut"
    HANDSHAKE_LATE = "handshake-late"
    HANDSHAKE_BAD_CERTIFICATE = "handshake-bad-certificate"
    CONNECT_REFUSED = "connect-refused"
    REFS_SILENCE = "refs-silence"
    REFS_CUT = "refs-cut"
    REFS_LATE = "refs-late"
    QR_CUT = "qr-cut"
    QR_SILENCE = "qr-silence"
    QR_RETIRED = "qr-retired"
    COMPANION_REG_REFRESH = "companion-reg-refresh"
    CODE_REFUSED = "code-refused"
    CODE_SILENCE = "code-silence"
    CODE_CUT = "code-cut"
    CODE_LATE = "code-late"
    PHONE_OFFLINE = "phone-offline"
    PHONE_REFUSES = "phone-refuses"
    PHONE_DAWDLES = "phone-dawdles"
    PHONE_DEVICE_LIMIT = "phone-device-limit"
    PHONE_WITHOUT_MULTIDEVICE = "phone-without-multidevice"
    PHONE_PASSKEY = "phone-passkey"
    PAIR_SUCCESS_SILENCE = "pair-success-silence"
    PAIR_SUCCESS_CUT = "pair-success-cut"
    PAIR_SUCCESS_LATE = "pair-success-late"
    PAIR_WRONG_HMAC = "pair-wrong-hmac"
    PAIR_WRONG_SIGNATURE = "pair-wrong-signature"
    PAIR_SIGN_LOST = "pair-sign-lost"
    RESTART_SILENCE = "restart-silence"
    RESTART_CUT = "restart-cut"
    RESTART_LATE = "restart-late"
    RESTART_THEN_CUT = "restart-then-cut"
    LOGIN_REFUSED = "login-refused"
    SUCCESS_SILENCE = "success-silence"
    SUCCESS_CUT = "success-cut"
    SUCCESS_LATE = "success-late"
    PREKEYS_SILENCE = "prekeys-silence"
    PREKEYS_CUT = "prekeys-cut"
    PREKEYS_LATE = "prekeys-late"
    PREKEYS_REFUSED = "prekeys-refused"
    ACTIVE_SILENCE = "active-silence"
    ACTIVE_CUT = "active-cut"
    ACTIVE_LATE = "active-late"
    CONNECTED_CUT = "connected-cut"
    CONNECTED_SILENCE = "connected-silence"
    STREAM_ERROR = "stream-error"
    CONFLICT_REPLACED = "conflict-replaced"
    DWELL_DROP = "dwell-drop"
    KEEPALIVE_SILENCE = "keepalive-silence"
    USYNC_SILENCE = "usync-silence"
    USYNC_CUT = "usync-cut"
    USYNC_LATE = "usync-late"
    USYNC_REFUSED = "usync-refused"
    KEYS_SILENCE = "keys-silence"
    KEYS_CUT = "keys-cut"
    KEYS_LATE = "keys-late"
    KEYS_REFUSED = "keys-refused"
    MESSAGE_SILENCE = "message-silence"
    MESSAGE_CUT = "message-cut"
    MESSAGE_LATE = "message-late"
    MESSAGE_REFUSED = "message-refused"
    MEDIA_UNREACHABLE = "media-unreachable"
    MEDIA_HTTP_ERROR = "media-http-error"
    MEDIA_SILENCE = "media-silence"
    RETRY_RECEIPT = "retry-receipt"
    RECEIPT_SILENCE = "receipt-silence"
    RECEIPT_LATE = "receipt-late"


@dataclass(frozen=True, slots=True)
class FaultDoc:
    """One line of the catalogue: what happens, the parameters it listens to (with defaults), and how neonize shows it."""

    what: str
    parameters: str = ""
    seen: str = ""


DEFAULT_DELAY = 5.0
"""Seconds, for a `-late` fault without a delay of its own."""

FAULTS: dict[Fault, FaultDoc] = {
    Fault.CONNECT_HTTP_ERROR: FaultDoc(
        "CONNECT is answered by an HTTP error", "status=502", "connect() ends with NeonizeError"
    ),
    Fault.CONNECT_SILENCE: FaultDoc("CONNECT is never answered", "", "nothing"),
    Fault.CONNECT_CUT: FaultDoc(
        "the connection is reset instead of answering CONNECT", "", "connect() ends with NeonizeError"
    ),
    Fault.CONNECT_LATE: FaultDoc("CONNECT is answered late", "delay=5"),
    Fault.WEBSOCKET_HTTP_ERROR: FaultDoc(
        "the websocket upgrade is answered by an HTTP error", "status=503", "connect() ends with NeonizeError"
    ),
    Fault.WEB_PAGE_REFUSED: FaultDoc(
        "`GET /`, where the present web version can be read, is answered by an HTTP error", "status=400", "not at all"
    ),
    Fault.WEB_SCRIPT_REFUSED: FaultDoc("the same for `GET /sw.js`", "status=400", "not at all"),
    Fault.HANDSHAKE_SILENCE: FaultDoc("no server hello", "", "NeonizeError after 20 s; stop() blocks meanwhile"),
    Fault.HANDSHAKE_CUT: FaultDoc(
        "cut instead of the server hello", "", "NeonizeError after 20 s: the client waits on"
    ),
    Fault.HANDSHAKE_LATE: FaultDoc("the server hello comes late", "delay=5"),
    Fault.HANDSHAKE_BAD_CERTIFICATE: FaultDoc(
        "the certificate is signed by a stranger", "", "connect() ends with NeonizeError"
    ),
    Fault.CONNECT_REFUSED: FaultDoc(
        "`failure` for a client that is not linked yet (400 401 402 403 405 406 409 500 503)",
        "status=405, ban=101, expire=3600, message, header, subtext",
        "status word err-client-outdated (405), err-unexpected-state, or timeout (500, 503)",
    ),
    Fault.REFS_SILENCE: FaultDoc("connected, but no refs: no QR ever", "", "nothing"),
    Fault.REFS_CUT: FaultDoc("cut before the refs", "delay=0", "status word timeout"),
    Fault.REFS_LATE: FaultDoc("the refs come late", "delay=5"),
    Fault.QR_CUT: FaultDoc("cut while the QR is shown: the way to a quick expiry", "delay=0", "status word timeout"),
    Fault.QR_SILENCE: FaultDoc(
        "after the refs the server says nothing at all any more", "", "nothing; a scan has no effect"
    ),
    Fault.QR_RETIRED: FaultDoc(
        "the server forgets the refs and tells nobody: from then on no scan can link", "delay=0", "nothing; scans fail"
    ),
    Fault.COMPANION_REG_REFRESH: FaultDoc(
        "the client is told to change its secret while the QR is shown",
        "delay=0",
        "a new QR at once; a scan of the old one ends in the status word error",
    ),
    Fault.CODE_REFUSED: FaultDoc(
        "the request for a pairing code is refused (429 400 403 452 500)", "status=429", "PairPhoneError"
    ),
    Fault.CODE_SILENCE: FaultDoc("the request for a pairing code is never answered", "", "PairPhone blocks 75 s"),
    Fault.CODE_CUT: FaultDoc(
        "cut when a pairing code is asked for", "", "PairPhoneError 5 s later, status word timeout"
    ),
    Fault.CODE_LATE: FaultDoc("the answer to the request for a pairing code comes late", "delay=5"),
    Fault.PHONE_OFFLINE: FaultDoc("the phone has no network: scanning and typing do nothing", "", "nothing"),
    Fault.PHONE_REFUSES: FaultDoc("the owner says no on the phone", "", "nothing; the QR goes on"),
    Fault.PHONE_DAWDLES: FaultDoc("the owner needs a while to confirm", "delay=5"),
    Fault.PHONE_DEVICE_LIMIT: FaultDoc("the phone has as many linked devices as it may", "", "nothing"),
    Fault.PHONE_WITHOUT_MULTIDEVICE: FaultDoc(
        "an old phone that links no devices in the present way", "", "status word err-scanned-without-multidevice"
    ),
    Fault.PHONE_PASSKEY: FaultDoc("the account wants a passkey", "", "status word passkey-request, then nothing"),
    Fault.PAIR_SUCCESS_SILENCE: FaultDoc("the phone confirmed, the client never hears of it", "", "nothing"),
    Fault.PAIR_SUCCESS_CUT: FaultDoc("the phone confirmed, the client is cut off", "", "status word timeout"),
    Fault.PAIR_SUCCESS_LATE: FaultDoc("the client hears of the phone's consent late", "delay=5"),
    Fault.PAIR_WRONG_HMAC: FaultDoc("pair-success is authenticated with another secret", "", "status word error"),
    Fault.PAIR_WRONG_SIGNATURE: FaultDoc("pair-success carries a wrong account signature", "", "status word error"),
    Fault.PAIR_SIGN_LOST: FaultDoc(
        "the client's pair-device-sign is lost: it thinks it is linked, the server does not",
        "",
        "success, then LoggedOut on the next connection",
    ),
    Fault.RESTART_SILENCE: FaultDoc(
        "the 515 after pairing never comes, the connection stays", "", "success, then nothing"
    ),
    Fault.RESTART_CUT: FaultDoc("cut instead of the 515", "", "success, then nothing: the client does not reconnect"),
    Fault.RESTART_LATE: FaultDoc("the 515 comes late", "delay=5"),
    Fault.RESTART_THEN_CUT: FaultDoc(
        "the 515 is followed by a cut at once", "", "as a rule a login; sometimes nothing"
    ),
    Fault.LOGIN_REFUSED: FaultDoc(
        "`failure` for a linked device (400 401 402 403 405 406 409 415 418 429 500 501 503; 413 and 414 end neonize's process); 401 unlinks it",
        "status=401, ban=101, expire=3600, message, header, subtext",
        "LoggedOut, TemporaryBan, ClientOutdated, ConnectFailure, or Disconnected and retries (500, 503)",
    ),
    Fault.SUCCESS_SILENCE: FaultDoc("no `success` after the login", "", "nothing"),
    Fault.SUCCESS_CUT: FaultDoc("cut instead of `success`", "", "Disconnected, retries"),
    Fault.SUCCESS_LATE: FaultDoc("`success` comes late", "delay=5"),
    Fault.PREKEYS_SILENCE: FaultDoc("the prekey count is never answered", "", "Connected 75 s late"),
    Fault.PREKEYS_CUT: FaultDoc("cut when the prekey count is asked for", "", "Disconnected, retries"),
    Fault.PREKEYS_LATE: FaultDoc("the prekey count is answered late", "delay=5"),
    Fault.PREKEYS_REFUSED: FaultDoc("the upload of prekeys is refused", "status=500", "Connected all the same"),
    Fault.ACTIVE_SILENCE: FaultDoc("passive/active is never answered", "", "Connected 75 s late"),
    Fault.ACTIVE_CUT: FaultDoc("cut at passive/active", "", "Disconnected, retries"),
    Fault.ACTIVE_LATE: FaultDoc("passive/active is answered late", "delay=5"),
    Fault.CONNECTED_CUT: FaultDoc("cut some time after the login", "delay=0", "Disconnected, retries"),
    Fault.CONNECTED_SILENCE: FaultDoc(
        "some time after the login the server says nothing any more", "delay=0", "KeepAliveTimeout"
    ),
    Fault.STREAM_ERROR: FaultDoc(
        "a stream error after the login, then the end (500 503 515 516)",
        "status=503, delay=0",
        "StreamError or Disconnected, retries",
    ),
    Fault.CONFLICT_REPLACED: FaultDoc(
        "the session is replaced by another one", "delay=0", "StreamReplaced, no retries"
    ),
    Fault.DWELL_DROP: FaultDoc("the device is unlinked soon after the login", "delay=10", "LoggedOut"),
    Fault.KEEPALIVE_SILENCE: FaultDoc("one ping is not answered", "", "KeepAliveTimeout after 30 to 40 s"),
    Fault.USYNC_SILENCE: FaultDoc(
        "who a number is (devices, lid, on WhatsApp) is never answered", "", "send blocks 75 s"
    ),
    Fault.USYNC_CUT: FaultDoc("cut when it is asked who a number is", "", "SendMessageError"),
    Fault.USYNC_LATE: FaultDoc("who a number is is answered late", "delay=5"),
    Fault.USYNC_REFUSED: FaultDoc("the question who a number is is refused", "status=429", "SendMessageError"),
    Fault.KEYS_SILENCE: FaultDoc("the keys of a receiver are never given", "", "send blocks 75 s"),
    Fault.KEYS_CUT: FaultDoc("cut when a receiver's keys are asked for", "", "SendMessageError, Disconnected"),
    Fault.KEYS_LATE: FaultDoc("the keys of a receiver come late", "delay=5"),
    Fault.KEYS_REFUSED: FaultDoc(
        "the keys of a receiver's devices (or of one `device`) are refused; `phone` may be the receiver's",
        "status=404, device",
        "sent to the other devices, be it only our own phone",
    ),
    Fault.MESSAGE_SILENCE: FaultDoc("a message is never acknowledged", "", "send blocks 75 s"),
    Fault.MESSAGE_CUT: FaultDoc("cut when a message comes", "", "sent again after the reconnect"),
    Fault.MESSAGE_LATE: FaultDoc("a message is acknowledged late", "delay=5"),
    Fault.MESSAGE_REFUSED: FaultDoc(
        "a message is refused (421 463 475 479); `phone` may be the receiver's", "status=463", "SendMessageError"
    ),
    Fault.MEDIA_UNREACHABLE: FaultDoc(
        "the proxy leads to WhatsApp, not to its media host",
        "",
        "nothing; more than 32 history notices block what comes after",
    ),
    Fault.MEDIA_HTTP_ERROR: FaultDoc(
        "the media host answers with an error", "status=404", "nothing; history is missing"
    ),
    Fault.MEDIA_SILENCE: FaultDoc("the media host never answers", "", "nothing; what comes after the notice waits"),
    Fault.RETRY_RECEIPT: FaultDoc(
        "the receiver's phone cannot open a message and asks for it again; `phone` may be the receiver's",
        "",
        "sent again by itself, if the same process sent it",
    ),
    Fault.RECEIPT_SILENCE: FaultDoc(
        "the receiver's phone is off: it never says that it got a message; `phone` may be the receiver's", "", "nothing"
    ),
    Fault.RECEIPT_LATE: FaultDoc("the receiver's phone says late that it got a message", "delay=5"),
}

CHAOS = tuple(
    fault
    for fault in Fault
    if fault.endswith(("-cut", "-late")) or fault in {Fault.STREAM_ERROR, Fault.CONNECT_HTTP_ERROR}
)
"""Faults that `--chaos` chooses from: a correct client recovers from each by itself or by a new attempt."""


def refusal_text(status: int) -> str:
    """The word that goes with a refusal of an `iq` (whatsmeow errors.go; 452 from whatsapp-rust)."""
    words = {
        400: "bad-request",
        401: "not-authorized",
        403: "forbidden",
        404: "item-not-found",
        428: "precondition-required",
    }
    words |= {
        429: "rate-overlimit",
        452: "feature-not-available",
        500: "internal-server-error",
        503: "service-unavailable",
    }
    return words.get(status, "refused")
