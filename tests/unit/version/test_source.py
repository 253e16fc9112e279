"""WhatsApp's present revision, asked for as a browser asks."""

from typing import Any

import httpx
import pytest

from workers.version import source
from workers.version.source import NoRevision, fetch_revision

PAGE = '<script>{"server_revision":1,"client_revision":1050000007,"x":1}</script>'
SCRIPT = r'JSON.parse("{\"client_revision\":1050000008}")'


@pytest.fixture
def answers(monkeypatch):
    """What each path answers; an exception is raised. The requests are kept."""
    given: dict[str, Any] = {}
    asked: list[httpx.Request] = []

    def respond(request):
        asked.append(request)
        answer = given[request.url.path]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, text=answer)

    genuine = httpx.AsyncClient
    monkeypatch.setattr(
        httpx,
        "AsyncClient",
        lambda **options: genuine(transport=httpx.MockTransport(respond), timeout=options["timeout"]),
    )
    given["asked"] = asked
    return given


async def test_the_page_names_it(answers):
    answers["/"] = PAGE
    found = await fetch_revision(None)
    assert (found.number, found.source) == (1_050_000_007, "/")
    (request,) = answers["asked"]
    assert str(request.url) == "https://web.whatsapp.com/"
    assert request.headers["sec-fetch-dest"] == "document"
    assert request.headers["user-agent"].startswith("Mozilla/5.0")


@pytest.mark.parametrize(
    "page",
    [
        "nothing",
        httpx.Response(400),
        httpx.Response(302, headers={"location": "http://elsewhere"}),
        httpx.ConnectError("away"),
    ],
)
async def test_the_script_is_the_fallback(answers, page):
    answers["/"], answers["/sw.js"] = page, SCRIPT
    found = await fetch_revision(None)
    assert (found.number, found.source) == (1_050_000_008, "/sw.js")
    assert answers["asked"][-1].headers["sec-fetch-site"] == "none"


async def test_neither_is_told_with_both_reasons(answers):
    answers["/"], answers["/sw.js"] = httpx.ReadTimeout("late"), httpx.Response(503)
    with pytest.raises(NoRevision, match=r"/ ReadTimeout; /sw.js answers 503"):
        await fetch_revision(None)


async def test_no_more_than_four_megabytes_are_read(answers, monkeypatch):
    monkeypatch.setattr(source, "_MOST", 100)
    answers["/"] = "x" * 200 + PAGE
    answers["/sw.js"] = SCRIPT
    assert (await fetch_revision(None)).source == "/sw.js"


async def test_a_socks_proxy_is_understood():
    with pytest.raises(NoRevision, match="ConnectError"):
        await fetch_revision("socks5://127.0.0.1:1")
