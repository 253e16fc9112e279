"""Texts, contacts and companies by the API, as the description has them."""

import pytest

from shared.core import keys
from shared.core.ids import SessionId
from shared.core.messages import Fate, MessageState, NotSent
from shared.jobs.queue import link_job_id
from shared.state import outbox as outbox_module
from shared.state.contacts import Contact, Contacts
from shared.state.outbox import Entry, Outbox, Written
from tests.unit.api.config import CONFIG
from tests.unit.api.service import BODIES, COMPANY, fill_outbox, named
from tests.unit.world import ONE, SESSION, World


async def say(service, key, **changes):
    headers = {"idempotency-key": key} if key else {}
    return await service(named("send"), json=BODIES["send"] | changes, headers=headers)


async def test_a_message_that_is_asked_for_again_under_its_key_is_not_sent_again(service):
    await service.link()
    first, again, other = [await say(service, key) for key in ("one", "one", "two")]
    assert {one.status_code for one in (first, again, other)} == {202}
    assert first.json() == again.json() != other.json()
    queue = keys.queue_worker(ONE)
    assert len(await service.redis.zrange(queue, 0, -1)) == 2
    session = SessionId(f"company_{COMPANY}")
    outbox = Outbox(service.redis)
    assert [one.id for one in await outbox.waiting(session)] == [first.json()["id"], other.json()["id"]]
    await outbox.settle(session, first.json()["id"], Fate(MessageState.SENT))
    assert (await say(service, "one")).json() == first.json()
    assert [one.id for one in await outbox.waiting(session)] == [other.json()["id"]], "it is sent already"
    for key in await service.redis.keys("wa:once:*"):
        assert keys.DAY - keys.MINUTE < await service.redis.pttl(key) <= keys.DAY


async def test_when_200_texts_wait_the_next_is_refused_with_the_time_to_wait(service):
    await service.link()
    await fill_outbox(service)
    answer = await say(service, None)
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/outbox-full")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_text_and_the_call_of_its_worker_are_one_script_and_a_worker_at_work_is_not_called(
    service, monkeypatch
):
    monkeypatch.setattr(outbox_module, "SOON_MS", keys.MINUTE)
    lease = await service.link()
    first = (await say(service, "one")).json()["id"]
    assert (await say(service, "one")).json()["id"] == first
    queue, outbox = keys.queue_worker(ONE), Outbox(service.redis)
    assert await service.redis.zrange(queue, 0, -1) == [f"send:{first}".encode()]
    await outbox.step(SESSION, lease=lease, begin=first)
    other = (await say(service, "other")).json()["id"]
    assert await service.redis.zcard(queue) == 1, "the worker has the first under way, and looks when that ends"
    monkeypatch.setattr(outbox_module, "SOON_MS", 0)
    third = (await say(service, "third")).json()["id"]
    assert await service.redis.zcard(queue) == 2, "that takes long: an emptied Redis would lose what nobody knows"
    step = await outbox.step(SESSION, [Entry(first, Written.ENDED, Fate(MessageState.SENT))], lease=lease, known=[])
    assert [one.id for one in step.texts] == [other, third]


async def test_a_malformed_idempotency_key_is_refused(service):
    await service.link()
    answer = await say(service, "k" * 256)
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_a_queued_company_is_told_its_place(service):
    world = World(service.redis)
    asked = await world.ask()
    await service.redis.zadd(keys.QUEUE_LINKING, {"link:company_before:1": 1, link_job_id(SESSION, asked.attempt): 2})
    answer = await service(named("company"))
    assert answer.json()["queue"] == {"position": 1}


async def test_a_link_tags_no_company(service, monkeypatch):
    tagged = []
    monkeypatch.setattr("app.http.border.sentry.during", lambda *about: tagged.append(about))
    await service(named("revoke_link"), name="abc")
    await service(named("company"), name="abc")
    assert tagged == [("api.revoke_link", None), ("api.company", SessionId("company_abc"))]


async def test_a_message_is_told_of_with_its_times_and_what_to_do_after_a_refusal(service):
    await service.link()
    message = (await say(service, None)).json()["id"]
    outbox, session = Outbox(service.redis), SessionId(f"company_{COMPANY}")
    waiting = (await service(named("message"), item=message)).json()
    assert (waiting["state"], "sentAt" in waiting) == ("queued", False)
    await outbox.settle(session, message, Fate(MessageState.FAILED, NotSent.REFUSED, 463, at=7))
    told = (await service(named("message"), item=message)).json()
    assert (told["state"], told["reason"], told["status"], told["failedAt"]) == ("failed", "refused", 463, 7)
    assert "let the receiver write first" in told["advice"]
    assert (await service(named("message"), item="../x")).status_code == 404


async def test_a_contact_has_the_accounts_own_name(service):
    session, contacts = SessionId(f"company_{COMPANY}"), Contacts(service.redis, CONFIG.secret_key)
    await contacts.keep(session, "+5215512345678", Contact(True, "+525512345678", "9@lid"))
    told = (await service(named("contact"), item="+5215512345678")).json()
    assert told == {"exists": True, "number": "+525512345678", "jid": "525512345678@s.whatsapp.net", "lid": "9@lid"}
    await contacts.keep(session, "+79001230404", Contact(False))
    assert (await service(named("contact"), item="%2B79001230404")).json() == {
        "exists": False,
        "number": "+79001230404",
    }


@pytest.mark.parametrize("to", ["79001234567@s.whatsapp.net", "123456789012345@lid", "120363000000000001@g.us"])
async def test_a_receiver_may_be_whatsapps_own_name(service, to):
    await service.link()
    message = (await say(service, None, to=to)).json()["id"]
    (kept,) = await Outbox(service.redis).waiting(SessionId(f"company_{COMPANY}"))
    assert (kept.id, kept.message.to) == (message, to)


@pytest.mark.parametrize(
    "to", ["x@s.whatsapp.net", "1@c.us", "status@broadcast", "12@lid", "1@newsletter", "١٢٣٤٥٦٧@lid"]
)
async def test_other_names_are_no_receivers(service, to):
    await service.link()
    assert (await say(service, None, to=to)).status_code == 422
