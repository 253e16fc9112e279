"""News that the library tells its log alone: WhatsApp's own words of a refusal, errors without an event, missed files; and
of log-outs, which it may fail to tell by an event.

A line comes as the bytes of a `LogEntry`, in a thread of Go's. Its message stands in them as it is, so one look says
whether the line matters.
"""

import re

from shared.core.datum import Datum
from workers.engine.child.happenings import Oddity, ReceiverMissed
from workers.engine.protocol import Ended, LostReason, Remark

MOST_SAID = 300
"""Most characters of WhatsApp's words that are kept."""


class RefusalText(Datum):
    """WhatsApp refuses a login. `text` is its number and all that it says to the owner; `seconds`: how long a ban lasts."""

    text: str
    seconds: int | None


#: The own devices of the sender have a number behind a colon, and are nobody's receiver.
_LINE = re.compile(
    rb"Failed to encrypt (?P<left_out>\S+) for \d+@(?:lid|s\.whatsapp\.net):"
    rb"|Unknown stream error: (?P<stream><.*>)"
    rb"|(?:Unknown|Temporary ban) connect failure: (?P<failure><.*>)"
    rb"|Got (?:(?P<status>\d+): [^<]*|device removed )(?:connect failure|stream error), (?P<gone>sending LoggedOut)"
    rb"|(?P<missed>Failed to download media due to network error|Failed to download history sync)",
    re.DOTALL,
)
_TAG = re.compile(r"<([^\s/>]+)((?:\s[^<>]*?)?)/?>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_ODD = re.compile(r"[^\w-]+")
_WORDS = ("message", "logout_message_header", "logout_message_subtext")
_RESTRICTED = {b"403": "MAIN_DEVICE_GONE", b"406": "UNKNOWN_LOGOUT"}
"""Log-outs that may end, by WhatsApp's number, with the library's names."""


def logged_out(name: str) -> Ended:
    """The end of a session whose keys WhatsApp refuses, by the library's name of the reason."""
    restricted = name in _RESTRICTED.values()
    return Ended(refusal=LostReason.RESTRICTED if restricted else LostReason.LOGGED_OUT, reason=name)


def overhear(line: bytes) -> Ended | Oddity | ReceiverMissed | RefusalText | None:
    """News of one line; None if it does not matter."""
    found = _LINE.search(line)
    if found is None:
        return None
    if (left_out := found["left_out"]) is not None:
        return ReceiverMissed(left_out.decode(errors="replace"))
    if (stream := found["stream"]) is not None:
        return Oddity(Remark.STREAM_ERROR, _name_of(stream.decode(errors="replace")))
    if (failure := found["failure"]) is not None:
        return _refusal(failure.decode(errors="replace"))
    if found["gone"] is not None:
        return logged_out(_RESTRICTED.get(found["status"], "LOGGED_OUT"))
    return Oddity(Remark.FILE_MISSED)


def _name_of(node: str) -> str:
    """The code of the error and the tags inside it: `516`, `xml-not-well-formed`, `401 conflict`."""
    outer, *inner = _TAG.findall(node) or [("", "")]
    parts = [dict(_ATTRIBUTE.findall(outer[1])).get("code", ""), *(tag for tag, _ in inner)]
    return " ".join(filter(None, (_ODD.sub("", part)[:40] for part in parts[:3]))) or "unknown"


def _refusal(node: str) -> RefusalText:
    said = dict(_ATTRIBUTE.findall(node.partition(">")[0]))
    words = [said[name].strip() for name in _WORDS if said.get(name, "").strip()]
    number = _ODD.sub("", said.get("reason", ""))[:10] or "?"
    code = f" (code {_ODD.sub('', said['code'])[:10]})" if said.get("code") else ""
    expire = said.get("expire", "")
    text = f"{number}{code}" + (f": {' / '.join(words)}" if words else "")
    return RefusalText(text[:MOST_SAID], int(expire) if expire.isdecimal() and len(expire) < 12 else None)
