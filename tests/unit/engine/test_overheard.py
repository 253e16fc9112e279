"""Lines of the library's log, of which a few matter."""

from tests.each import each
from workers.engine.child.happenings import Oddity, ReceiverMissed
from workers.engine.child.overheard import MOST_SAID, RefusalText, logged_out, overhear
from workers.engine.protocol import Remark

NO_SESSION = "can't encrypt message for device: no signal session established"


def gone(why):
    """As the library says that it deletes a device."""
    return f"Got {why}, sending LoggedOut event and deleting session"


def entry(message):
    """As the library hands a line over: a `LogEntry` of message, name and level."""
    text = message.encode()
    length = len(text)
    head = bytes([length & 127 | 128, length >> 7]) if length > 127 else bytes([length])
    return b"\x0a" + head + text + b"\x12\x06Client\x1a\x04WARN"


@each(
    ("message", "told"),
    [
        (f"Failed to encrypt 3EB0 for 79001239999@lid: {NO_SESSION}", ReceiverMissed("3EB0")),
        (f"Failed to encrypt 3EB0 for 79001239999@s.whatsapp.net: {NO_SESSION}", ReceiverMissed("3EB0")),
        (f"Failed to encrypt 3EB0 for 79001239999:3@lid: {NO_SESSION}", None),
        ('Unknown stream error: <stream:error code="516"/>', Oddity(Remark.STREAM_ERROR, "516")),
        (
            "Unknown stream error: <stream:error><xml-not-well-formed/></stream:error>",
            Oddity(Remark.STREAM_ERROR, "xml-not-well-formed"),
        ),
        (
            'Unknown stream error: <stream:error code="401"><conflict type="odd"/></stream:error>',
            Oddity(Remark.STREAM_ERROR, "401 conflict"),
        ),
        ("Unknown stream error: <>", Oddity(Remark.STREAM_ERROR, "unknown")),
        (f'Unknown stream error: <stream:error code="{"9" * 999}"/>', Oddity(Remark.STREAM_ERROR, "9" * 40)),
        ('Unknown connect failure: <failure location="frc" reason="429"/>', RefusalText("429", None)),
        (
            'Unknown connect failure: <failure logout_message_header="Look" logout_message_subtext="Call" message="no" reason="418"/>',
            RefusalText("418: no / Look / Call", None),
        ),
        (
            'Temporary ban connect failure: <failure code="199" expire="3600" reason="402"/>',
            RefusalText("402 (code 199)", 3600),
        ),
        ('Temporary ban connect failure: <failure expire="soon"/>', RefusalText("?", None)),
        (
            f'Unknown connect failure: <failure message="{"x" * 999}" reason="400"/>',
            RefusalText(f"400: {'x' * 999}"[:MOST_SAID], None),
        ),
        (
            "Failed to download media due to network error: proxyconnect tcp: 502, retrying in 1s...",
            Oddity(Remark.FILE_MISSED),
        ),
        (
            "Failed to download history sync: failed to download media from last host: status code 404",
            Oddity(Remark.FILE_MISSED),
        ),
        (gone("401: logged out from another device connect failure"), logged_out("LOGGED_OUT")),
        (gone("403: primary device was logged out connect failure"), logged_out("MAIN_DEVICE_GONE")),
        (gone("406: user banned connect failure"), logged_out("UNKNOWN_LOGOUT")),
        (gone("device removed stream error"), logged_out("LOGGED_OUT")),
        ("Error decrypting message from 79001239999@lid: no sender key", None),
        ("", None),
    ],
)
def test_of_the_library_s_log_only_what_matters_is_heard(message, told):
    assert overhear(entry(message)) == told


@each("line", [b"", b"\xff\xfe", b"Unknown stream error: <" + b"\xff" * 50 + b">", b"\x0a\x00"])
def test_no_line_is_too_odd(line):
    assert overhear(line) is None or isinstance(overhear(line), Oddity)
