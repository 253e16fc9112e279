"""Whom a request is from, when proxies pass it on: what the trusted ones have added, from the right."""

import ipaddress
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.http.edge import networks_as_seen

TRUSTED = networks_as_seen([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:cd::/48")])


async def caller(peer, *forwarded, trusted=TRUSTED):
    """The address that the application sees."""
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    scope: Any = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    await ProxyHeadersMiddleware(app, trusted_hosts=trusted)(scope, None, None)
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # no proxy of ours: whatever it says, it is itself
        ("203.0.113.9", ["10.0.0.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),  # the first is what the browser says
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1"], "198.51.100.1"),  # the same in two headers
        ("10.0.0.1", ["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1, 2001:db8:cd::7, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["rubbish, 198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),  # on a listener for both families
    ],
)
async def test_only_what_trusted_proxies_have_added_is_believed(peer, forwarded, expected):
    assert await caller(peer, *forwarded) == expected


async def test_if_nobody_is_trusted_nothing_is_believed():
    assert await caller("127.0.0.1", "198.51.100.1", trusted=networks_as_seen([])) == "127.0.0.1"
