"""A company's state: its ETag, its phone for those who may know it; and attempts without a link and a browser."""

import asyncio
import time

import pytest

from shared.core import keys
from shared.core.lifecycle import State
from shared.core.protocol import DeviceView, QrView
from shared.state.phones import Phones
from tests.unit.api.config import NARROW
from tests.unit.world import ONE, PHONE, SESSION, change

COMPANY = "/api/v1/companies/salon-1"
DEVICE = DeviceView(phone="+7 •••••• 45 67", name="Booking assistant", linked_at=1_780_000_000_000)


def with_key(scope):
    return {"authorization": f"Bearer {NARROW[scope]}"}


async def test_an_unchanged_company_is_answered_by_304(web, world):
    lease = await world.serve()
    first = await web.get(COMPANY)
    known = {"if-none-match": first.headers["etag"]}
    again = await web.get(COMPANY, headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    await world.snapshots.save(lease, change(State.AWAITING_PHONE))
    newer = await web.get(COMPANY, headers=known)
    assert newer.status_code == 200
    assert newer.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("wait", ["-1", "26", "x", "1.5", "", "²"])
async def test_a_malformed_wait_is_refused(web, wait):
    assert (await web.get(COMPANY, params={"wait": wait})).status_code == 422


async def test_a_caller_with_an_old_version_does_not_wait(web, world):
    await world.serve()
    async with asyncio.timeout(10):
        answer = await web.get(COMPANY, params={"wait": 25}, headers={"if-none-match": 'W/"0.0"'})
    assert answer.json()["state"] == "connecting"


async def test_the_whole_number_is_asked_of_a_worker_and_told_to_the_scope_companies_alone(web, world, redis):
    await world.serve(ONE, State.LINKED, device=DEVICE)
    for scope in ("links", "messages"):
        assert (await web.get(COMPANY, headers=with_key(scope))).json()["device"]["phone"] == DEVICE.phone
    reading = asyncio.create_task(web.get(COMPANY, headers=with_key("companies")))
    while not await redis.zcard(keys.queue_worker(ONE)):
        await asyncio.sleep(0)
    assert await redis.zrange(keys.queue_worker(ONE), 0, -1) == [f"phone:{SESSION}".encode()]
    await Phones(redis).write(SESSION, DEVICE.linked_at, PHONE)
    assert (await reading).json()["device"]["phone"] == PHONE
    assert 0 < await redis.pttl(keys.device_phone(SESSION)) <= keys.SUBJECT_TTL
    assert (await web.get(COMPANY, headers=with_key("links"))).json()["device"]["phone"] == DEVICE.phone


async def test_the_number_of_an_earlier_device_is_not_told(web, world, redis, monkeypatch):
    monkeypatch.setattr("shared.state.phones.WAIT_SECONDS", 0)
    await world.serve(ONE, State.LINKED, device=DEVICE)
    await Phones(redis).write(SESSION, DEVICE.linked_at - 1, "+79007654321")
    assert (await web.get(COMPANY)).json()["device"]["phone"] == DEVICE.phone


async def test_an_attempt_without_a_browser_shows_its_qr(web, world):
    begun = await web.post(f"{COMPANY}/attempts", json={"method": "qr"})
    assert (begun.status_code, begun.json()["state"]) == (202, "queued")
    lease = await world.leases.acquire(SESSION, ONE, attempt=begun.json()["attempt"])
    await world.snapshots.save(lease, change(State.CONNECTING))
    qr = QrView(text="2@text", svg="<svg/>", number=1, of=6, expires_at=1)
    await world.snapshots.save(lease, change(State.AWAITING_PHONE, qr=qr))
    shown = await web.get(f"{COMPANY}/attempts/current", headers={"if-none-match": begun.headers["etag"]})
    assert shown.json()["qr"]["text"] == "2@text"
    assert "qr" not in (await web.get(COMPANY)).json()
    again = await web.post(f"{COMPANY}/attempts", json={"method": "qr"})
    assert again.json()["attempt"] == begun.json()["attempt"], "it joins the one that runs"


@pytest.mark.parametrize("at_once", [False, True])
async def test_an_attempt_that_is_asked_for_again_under_its_key_is_not_begun_anew(web, world, monkeypatch, at_once):
    if at_once:  # all within one millisecond
        now_ns = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    headers = {"idempotency-key": "k"}
    first = await web.post(f"{COMPANY}/attempts", json={"method": "qr"}, headers=headers)
    await web.delete(f"{COMPANY}/attempts/current")
    assert await world.state() is State.CANCELLED
    again = await web.post(f"{COMPANY}/attempts", json={"method": "qr"}, headers=headers)
    assert (again.json()["attempt"], again.json()["state"]) == (first.json()["attempt"], "cancelled")


@pytest.mark.parametrize(
    "body",
    [
        {"method": "code"},
        {"method": "qr", "phoneNumber": PHONE},
        {"method": "sms"},
        {},
        {"method": "code", "phoneNumber": ""},
    ],
)
async def test_an_attempt_that_says_two_things_or_nothing_is_refused(web, world, body):
    answer = await web.post(f"{COMPANY}/attempts", json=body)
    assert answer.status_code == 422
    assert await world.everything() == {} or await world.state() is State.UNLINKED


async def test_a_refusal_says_why_and_when_to_come_again(web, redis):
    await web.post(f"{COMPANY}/attempts", json={"method": "code", "phoneNumber": PHONE})
    other = await web.post(f"{COMPANY}/attempts", json={"method": "code", "phoneNumber": "+79007654321"})
    assert (other.status_code, other.json()["code"]) == (409, "in-progress")
    await redis.set(keys.starts(SESSION), 10, px=60_000)
    await web.delete(f"{COMPANY}/attempts/current")
    limited = await web.post(f"{COMPANY}/attempts", json={"method": "qr"})
    assert (limited.status_code, limited.json()["code"]) == (429, "cool-down")
    assert 0 < int(limited.headers["retry-after"]) <= 60


async def states(web, query=""):
    return [one["state"] for one in (await web.get(f"/api/v1/companies{query}")).json()["companies"]]


async def test_a_session_whose_worker_is_dead_is_told_as_reconnecting_by_itself_and_in_the_list(web, world):
    await world.serve(state=State.LINKED)
    assert (await states(web), await states(web, "?state=linked")) == (["linked"], ["linked"])
    await world.lapse()
    assert await states(web) == await states(web, "?state=reconnecting") == ["reconnecting"]
    assert await states(web, "?state=linked") == []
    assert (await web.get(COMPANY)).json()["state"] == "reconnecting"
