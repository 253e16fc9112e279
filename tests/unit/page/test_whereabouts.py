"""Under a foreign address the page would never connect: the browser is sent on, once, and keeps the token."""

import pytest
from pydantic import HttpUrl, SecretStr
from starlette.requests import Request

from app.page.whereabouts import elsewhere
from shared.settings import Settings

HOME = "https://onboarding.example"


def settings(public_url: str | None = HOME) -> Settings:
    return Settings(
        secret_key=SecretStr("a secret that is long enough to sign"),
        api_keys=(SecretStr("an-api-key-of-the-tests"),),
        public_url=HttpUrl(public_url) if public_url else None,
        allowed_origins=("https://other.example",),
    )


def asked(host: str, scheme: str = "https", query: str = "") -> Request:
    headers = [(b"host", host.encode())]
    return Request(
        {"type": "http", "scheme": scheme, "path": "/link", "query_string": query.encode(), "headers": headers}
    )


@pytest.mark.parametrize(
    ("host", "scheme"),
    [
        ("app-1234.host.example", "https"),
        ("onboarding.example", "http"),
        ("www.onboarding.example", "https"),
        ("10.0.0.7:8000", "http"),
    ],
)
def test_a_browser_at_a_foreign_address_is_sent_to_the_public_url(host, scheme):
    answer = elsewhere(settings(), asked(host, scheme))
    assert answer is not None
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{HOME}/link?moved"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["onboarding.example", "other.example"])
def test_where_the_websocket_is_allowed_nobody_is_sent_away(host):
    assert elsewhere(settings(), asked(host)) is None


def test_a_browser_is_sent_once_whatever_host_a_router_reports():
    assert elsewhere(settings(), asked("web:8000", "http", "moved")) is None


def test_without_a_public_url_there_is_nowhere_to_send_to():
    assert elsewhere(settings(None), asked("whatever.example", "http")) is None


@pytest.mark.parametrize(
    ("query", "told"),
    [("lang=es%26x", "lang=es%26x"), ("look=a.b.c", "look=a.b.c"), ("look=a&x=1&lang=es", "lang=es&look=a")],
)
def test_the_link_s_language_and_look_go_along(query, told):
    answer = elsewhere(settings(), asked("foreign.example", query=query))
    assert answer is not None
    assert answer.headers["location"] == f"{HOME}/link?moved&{told}"
