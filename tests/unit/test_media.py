"""The worker's look at WhatsApp's media host."""

import asyncio

import pytest

from shared.core.ids import SessionId
from shared.telemetry import sentry
from tests.waiting import beside
from workers import media as module
from workers.media import MediaAway, MediaHost, reach

ONE, OTHER = SessionId("company_one"), SessionId("company_other")


class FakeHost:
    """Answers or not, and counts who asks."""

    def __init__(self):
        self.away, self.asked, self.looked = "", 0, asyncio.Event()

    async def reach(self):
        self.asked += 1
        self.looked.set()
        if self.away:
            raise MediaAway(self.away)


@pytest.fixture
def host():
    return FakeHost()


async def test_a_host_that_is_away_is_told_until_it_is_back(host):
    media = MediaHost(host.reach)
    host.away = "ProxyError"
    await media.look()
    assert media.away == "ProxyError"
    host.away = ""
    await media.look()
    assert media.away == ""


async def test_a_session_that_missed_a_file_has_the_worker_look_at_once(host, monkeypatch):
    monkeypatch.setattr(module, "REST_SECONDS", 0)
    media = MediaHost(host.reach)
    async with beside(media.run()):
        media.missed(ONE)
        media.missed(ONE)
        media.missed(OTHER)
        async with asyncio.timeout(5):
            await host.looked.wait()
        assert (media.without, media.away, host.asked) == (2, "", 1)


async def test_a_session_that_missed_a_file_is_counted_for_a_while(host, monkeypatch):
    monkeypatch.setattr(module, "MISSED_SECONDS", 0)
    media = MediaHost(host.reach)
    media.missed(ONE)
    assert media.without == 0


async def test_a_bug_in_the_look_ends_nothing(monkeypatch):
    async def broken():
        raise RuntimeError

    told = []
    monkeypatch.setattr(sentry, "report", lambda what, error: told.append((what, type(error))))
    media = MediaHost(broken)
    await media.look()
    assert (media.away, told) == ("", [("media", RuntimeError)])


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "gopher://x"])
async def test_a_way_that_leads_nowhere_is_away(proxy):
    with pytest.raises(MediaAway, match=r"^\w+$"):
        await reach(proxy)


@pytest.mark.parametrize(("status", "away"), [(200, False), (404, False), (503, True)])
async def test_any_answer_of_the_host_s_own_will_do(monkeypatch, status, away):
    import httpx

    genuine = httpx.AsyncClient
    transport = httpx.MockTransport(lambda request: httpx.Response(status, request=request))
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_: genuine(transport=transport))
    if away:
        with pytest.raises(MediaAway, match="answers 503"):
            await reach(None)
    else:
        await reach(None)
