"""A link says what was asked for, leads nowhere else, can be looked at by its id, and is made once under one key."""

import pytest

from app.access import Access, PageLook
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.state.claims import Claims, Subject
from tests.unit.api.config import CONFIG
from tests.unit.world import ONE, SESSION, World

LINKS = "/api/v1/links"
COMPANY = "salon-1"


async def made(web, key=None, **body):
    headers = {"idempotency-key": key} if key else {}
    return await web.post(LINKS, json={"companyId": COMPANY} | body, headers=headers)


async def state_of(web, link_id):
    answer = await web.get(f"{LINKS}/{link_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["state"]


async def test_a_link_token_holds_everything_that_was_asked_for(web, redis):
    answer = await made(
        web,
        region="br",
        refreshUrl="https://salon.example/new",
        returnUrl="https://onboarding.example/",
        embedOrigin="https://platform.example/",
        brand={"name": "Beauty", "accent": "#0a7d4f", "logoUrl": "https://cdn.example/logo.svg"},
        phoneNumber="11 96123-4567",
    )
    link = Access(CONFIG).verify(answer.json()["token"])
    assert (link.region, link.refresh_url, link.phone) == ("BR", "https://salon.example/new", "+5511961234567")
    assert link.look == PageLook(
        "Beauty", "#0a7d4f", "https://cdn.example/logo.svg", embed_origin="https://platform.example"
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phoneNumber": ""}, "phoneNumber"),
        ({"returnUrl": "https://elsewhere.example/"}, "returnUrl"),
        ({"returnUrl": "https://salon.example.evil.example/"}, "returnUrl"),
        ({"returnUrl": "http://salon.example/"}, "returnUrl"),
        ({"returnUrl": "https://salon.example:8443/"}, "returnUrl"),
        ({"returnUrl": "https://salon.example@evil.example/"}, "returnUrl"),
        ({"returnUrl": "https://user:secret@salon.example/"}, "returnUrl"),
        ({"returnUrl": "javascript:alert(1)"}, "returnUrl"),
        ({"refreshUrl": "https://elsewhere.example/"}, "refreshUrl"),
        ({"embedOrigin": "https://elsewhere.example"}, "embedOrigin"),
        ({"embedOrigin": "*"}, "embedOrigin"),
        ({"region": "XX"}, "region"),
        ({"region": "Brazil"}, "region"),
        ({"companyName": "Salon \u202egnp.exe"}, "companyName"),
        ({"companyName": "a\u0000b"}, "companyName"),
        ({"companyName": "a\nb"}, "companyName"),
        ({"companyName": "\u200b"}, "companyName"),
        ({"companyName": "  "}, "companyName"),
        ({"brand": {"name": "x\u2066"}}, "brand.name"),
        ({"brand": {"accent": "red;}"}}, "brand.accent"),
        ({"brand": {"accent": "#ffcc00"}}, "brand.accent"),
        ({"brand": {"logoUrl": "http://cdn.example/x.svg"}}, "brand.logoUrl"),
        ({"brand": {"supportUrl": "data:text/html,x"}}, "brand.supportUrl"),
        ({"brand": {"colour": "#ffffff"}}, "brand.colour"),
        ({"ttlSeconds": "600"}, "ttlSeconds"),
        ({"ttlSeconds": True}, "ttlSeconds"),
        ({"companyName": 5}, "companyName"),
        ({"returnUrl": "https://salon.example/" + "x" * 5000}, "returnUrl"),
    ],
)
async def test_a_link_with_a_bad_field_is_refused_and_the_field_is_named(web, redis, body, field):
    answer = await made(web, **body)
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text
    assert await redis.keys("wa:made-link:*") == []


async def test_an_unreadable_accent_is_refused_with_a_readable_one(web):
    answer = await made(web, brand={"accent": "#FFCC00"})
    assert answer.json()["detail"] == (
        "brand.accent: the contrast of #ffcc00 to a light ground is 1.3 : 1, and words need 4.5 : 1; #856a00 would do"
    )


async def test_names_in_every_script_are_shown(web):
    for name in ("Салон «Аврора»", "سالن می\u200cرود", "सैलून", "美容院", "Café 💇🏽\u200d♀️"):
        assert (await made(web, companyName=name)).status_code == 201, name


async def test_a_body_with_a_repeated_field_is_refused(web):
    answer = await web.post(LINKS, content=b'{"companyId":"a","companyId":"b"}')
    assert (answer.status_code, answer.json()["field"]) == (422, "companyId")


async def test_under_one_key_one_link_is_made_and_its_token_is_kept_nowhere(web, redis):
    first, again, other = [await made(web, key) for key in ("one", "one", "two")]
    assert first.json() == again.json()
    assert other.json()["id"] != first.json()["id"]
    everything = str(await World(redis).everything())
    assert first.json()["token"] not in everything
    assert (await made(web, "one", companyName="another")).status_code == 422
    for name in await redis.keys("wa:asked:*"):
        assert 23 * keys.HOUR < await redis.pttl(name) <= 24 * keys.HOUR


async def test_a_link_tells_by_its_id_where_it_stands(web, redis):
    link = (await made(web)).json()
    assert await state_of(web, link["id"]) == "open"
    await begin(redis, link)
    assert await state_of(web, link["id"]) == "running"
    assert await state_of(web, (await made(web)).json()["id"]) == "open", "another link of the same company"
    await redis.delete(keys.claim(SESSION), keys.subject(SESSION))
    assert await Claims(redis).spend(Subject(link["id"], link["expiresAt"]))
    assert await state_of(web, link["id"]) == "spent"
    await web.delete(f"{LINKS}/{link['id']}")
    assert await state_of(web, link["id"]) == "revoked"


async def test_a_link_past_its_end_is_expired_and_an_unknown_one_is_not_found(web, redis):
    link = (await made(web)).json()
    await redis.hset(keys.made_link(link["id"]), "expiresAt", now_ms() - 1)
    assert await state_of(web, link["id"]) == "expired"
    assert (await web.get(f"{LINKS}/unknown")).status_code == 404
    for nonsense in ({"company": "../x", "expiresAt": 1}, {"company": "a", "expiresAt": "soon"}, {"company": "a"}):
        await redis.delete(keys.made_link("odd"))
        await redis.hset(keys.made_link("odd"), mapping=nonsense)
        assert (await web.get(f"{LINKS}/odd")).status_code == 404


async def begin(redis, link):
    """The owner opens the link and asks for a QR."""
    from shared.core.protocol import Method
    from shared.state.claims import queued

    subject = Subject(link["id"], link["expiresAt"])
    return await Claims(redis).request(SESSION, subject, queued(Method.QR, "attempt.requested"))


async def test_revoking_a_link_ends_the_attempt_that_it_began(web, redis, world):
    link = (await made(web)).json()
    await begin(redis, link)
    await web.delete(f"{LINKS}/{link['id']}")
    assert await world.state() is State.CANCELLED
    assert await redis.exists(keys.claim(SESSION)) == 0


async def test_revoking_a_link_tells_the_worker_of_its_attempt(web, redis, world):
    link = (await made(web)).json()
    asked = await begin(redis, link)
    await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    await web.delete(f"{LINKS}/{link['id']}")
    (job,) = await redis.zrange(keys.queue_worker(ONE), 0, -1)
    assert job.decode() == f"cancel:{SESSION}:{asked.attempt}"


async def test_revoking_another_link_leaves_the_attempt_alone(web, redis, world):
    link, other = [(await made(web)).json() for _ in range(2)]
    await begin(redis, link)
    await web.delete(f"{LINKS}/{other['id']}")
    assert await world.state() is State.QUEUED
    assert SessionId(f"company_{COMPANY}") == SESSION
