"""The receivers of docs/webhooks.md run as they stand there: they take what we sign, and survive what others send."""

import socket
import time

import httpx
import pytest

from shared.core.clock import now_ms
from shared.core.signing import new_secret, signed_headers
from tests.clients.receivers import LANGUAGES, documented

OLD, NEW, FOREIGN = new_secret(), new_secret(), new_secret()


@pytest.fixture(params=LANGUAGES)
def receiver(request, tmp_path):
    """The URL of one that runs, and its output."""
    with documented(request.param, tmp_path, f"{NEW} {OLD}") as found:
        yield found


def event(name="e1"):
    return f'{{"id":"{name}","type":"session.linked","companyId":"aurora"}}'.encode()


def send(url, body, headers, **more):
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=20, **more).status_code


def forged():
    """Bodies and headers that nobody of us has sent."""
    body, now = event("x"), now_ms()
    good = signed_headers(NEW, "x", now, body)
    yield "another secret", body, signed_headers(FOREIGN, "x", now, body)
    yield "another body", body + b" ", good
    yield "another id", body, good | {"webhook-id": "y"}
    yield "too old", body, signed_headers(NEW, "x", now - 600_000, body)
    yield "from the future", body, signed_headers(NEW, "x", now + 600_000, body)
    yield "no headers", body, {}
    yield "no signature", body, {name: value for name, value in good.items() if name != "webhook-signature"}
    yield "no time", body, {name: value for name, value in good.items() if name != "webhook-timestamp"}
    yield "time that is none", body, good | {"webhook-timestamp": "soon"}
    yield "another version", body, good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}
    yield "no base64", body, good | {"webhook-signature": "v1,%%%"}
    yield "no parts", body, good | {"webhook-signature": "rubbish"}
    yield "many parts", body, good | {"webhook-signature": ("v1,a " * 500).strip()}
    yield "not UTF-8", b"\xff\xfe", good
    yield "nothing", b"", good
    yield "no JSON, but signed by us", b"rubbish", signed_headers(NEW, "x", now, b"rubbish")


def test_it_takes_what_we_sign_once_and_survives_what_others_send(receiver):
    url, said = receiver
    for secret, name in ((NEW, "e1"), (OLD, "e2"), (NEW, "e1")):
        assert send(url, event(name), signed_headers(secret, name, now_ms(), event(name))) == 204
    taken = {why: status for why, body, headers in forged() if (status := send(url, body, headers)) < 400}
    assert taken == {}
    for raw in (b"\x00\xff\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -5\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].strip("/"))), 5) as wire:
            wire.sendall(raw)
    assert send(url, event("e3"), signed_headers(NEW, "e3", now_ms(), event("e3"))) == 204
    assert lines_of(said, 3) == ["session.linked aurora"] * 3, "the second e1 was seen"


def lines_of(said, count):
    """What it has said of events, once there are so many lines: it may say them after it has answered."""
    until = time.monotonic() + 20
    while True:
        lines = [line for line in said.read_text().splitlines() if line.startswith("session.linked")]
        if len(lines) >= count or time.monotonic() > until:
            return lines
        time.sleep(0.02)


def test_the_older_headers_still_verify_as_they_always_did():
    import hashlib
    import hmac

    body, now = event(), now_ms()
    headers = signed_headers("an older secret", "e1", now, body)
    by_hand = hmac.new(b"an older secret", f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-webhook-signature"] == f"v1={by_hand}"
