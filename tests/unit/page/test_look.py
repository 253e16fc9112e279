"""The look of a link: told by its address, believed only when we have signed it, and framed by its own origin alone."""

import base64
import hashlib
from urllib.parse import quote, urlsplit

import httpx
import pytest

from app.access import Access, BadToken, PageLook
from app.api.links import make_link, show_link
from app.api.models import NewLink
from app.main import create_app
from app.page.look import Platform
from shared.core.ids import CompanyId
from tests.unit.api.config import CONFIG, settings_with

EMBEDDER = "https://platform.example"
OTHER = "https://other.example"


def policy_of(headers):
    return dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))


def ancestors(headers):
    return policy_of(headers)["frame-ancestors"]


@pytest.fixture
def opened(redis):
    """The page under another configuration."""

    async def get(query, **settings):
        app = create_app(settings_with(**settings), redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http:
            answer = await http.get(f"/link{query}")
        assert answer.status_code == 200
        return answer

    return get


async def test_only_the_link_s_own_origin_may_frame_its_page(redis, opened):
    access = Access(CONFIG)
    for body, allowed in [({}, "'none'"), ({"locale": "es"}, "'none'"), ({"embedOrigin": EMBEDDER}, EMBEDDER)]:
        made = show_link(
            access, CONFIG, make_link(access, CONFIG, NewLink.model_validate({"companyId": "salon"} | body))
        )
        query = urlsplit(made.url).query
        answer = await opened(f"?{query}", embed_origins=(EMBEDDER, OTHER))
        assert ancestors(answer.headers) == allowed
        assert answer.headers["cross-origin-opener-policy"] == (
            "unsafe-none" if "embedOrigin" in body else "same-origin"
        )
        assert made.token not in query, "the token is for nobody but the page"


async def test_an_origin_that_is_allowed_no_more_may_not_frame_what_was_made_before(redis, opened):
    text = Access(CONFIG).sign_look(PageLook(embed_origin=EMBEDDER))
    assert ancestors((await opened(f"?look={text}", embed_origins=(EMBEDDER,))).headers) == EMBEDDER
    for now in ((), (OTHER,)):
        answer = await opened(f"?look={text}", embed_origins=now)
        assert ancestors(answer.headers) == "'none'"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_look_without_our_signature_is_ignored(redis, opened):
    access = Access(CONFIG)
    ours = access.sign_look(PageLook("Bookwell", embed_origin=EMBEDDER))
    token = access.sign(
        access.new_link(CompanyId("salon"), ttl_seconds=60, company_name="Salon", look=PageLook(embed_origin=EMBEDDER))
    )
    foreign = Access(settings_with(secret_key="o" * 40)).sign_look(PageLook(embed_origin=EMBEDDER))
    for text in ("", "x", "a.b.c", ours[:-2], ours + "x", token, foreign, EMBEDDER, "\x00", "ü"):
        assert access.read_look(text) is None
        answer = await opened(f"?look={quote(text)}", embed_origins=(EMBEDDER,))
        assert ancestors(answer.headers) == "'none'"


def test_a_look_is_no_token(redis):
    access = Access(CONFIG)
    with pytest.raises(BadToken):
        access.verify(access.sign_look(PageLook("Bookwell", embed_origin=EMBEDDER)))


def test_a_look_comes_back_whole(redis):
    access = Access(CONFIG)
    for look in (
        PageLook(),
        PageLook("Bookwell"),
        PageLook(embed_origin=EMBEDDER),
        PageLook("Bookwell", "#0a7d4f", "https://cdn.example/l.svg", embed_origin=EMBEDDER),
    ):
        assert access.read_look(access.sign_look(look)) == look


SERVICE = settings_with(
    platform_name="Bookwell",
    accent_color="#0a7d4f",
    logo_url="https://cdn.example/bookwell.svg",
    support_url="https://bookwell.example/help",
    embed_origins=(EMBEDDER,),
)


def test_missing_parts_of_a_links_brand_come_from_the_service():
    assert Platform.of(SERVICE).name == "Bookwell"
    for look in ((), (PageLook(),), (PageLook(accent="#b00020"),)):
        one = Platform.of(SERVICE, *look)
        assert (one.name, one.logo_url) == ("Bookwell", "https://cdn.example/bookwell.svg")
        assert one.accent == ("#b00020" if look and look[0].accent else "#0a7d4f")
        assert one.support_url == "https://bookwell.example/help"
    assert Platform.of(SERVICE, PageLook("Aurora")).logo_url is None, "no logo beside another's name"


def test_a_page_that_others_can_see_has_no_name_that_is_made_up():
    assert Platform.of(settings_with()).name == "Platform"
    assert Platform.of(settings_with(public_url="http://127.0.0.1:8000")).name == "Platform"
    assert Platform.of(settings_with(public_url="https://link.bookwell.example")).name == "link.bookwell.example"


def test_the_policy_allows_the_brand_and_nothing_beside_it():
    plain = Platform("B", "B")
    assert plain.headers == {}
    accent = Platform("B", "B", accent="#0a7d4f")
    digest = base64.b64encode(hashlib.sha256(accent.style.encode()).digest()).decode()
    policy = policy_of(accent.headers)
    assert policy["style-src"] == f"'self' 'sha256-{digest}'"
    assert policy["img-src"] == "'self' data:"
    # Whatever stands behind the origin would be read as more of the policy.
    logo = Platform("B", "B", logo_url="https://CDN.example:443/a;script-src *,x")
    policy = policy_of(logo.headers)
    assert policy["img-src"] == "'self' data: https://cdn.example"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "cross-origin-opener-policy" not in logo.headers
