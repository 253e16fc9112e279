"""Every problem that the description names can be met, and every answer fits it."""

import pytest
from openapi_schema_validator import OAS31Validator

from app import openapi
from app.api import texts
from app.api.feed import MOST_READERS
from app.http import problems
from app.http.border import WRONG_KEYS
from app.http.problems import MAX_BODY_BYTES
from app.openapi import document
from shared.core import keys
from shared.core.apikeys import Scope
from shared.core.clock import now_ms
from shared.core.ids import CompanyId, SessionId
from shared.core.messages import Fate, MessageState, NotSent
from shared.state.claims import LEAST_WAITING, MOST_STARTS
from shared.state.contacts import Contact, Contacts
from shared.state.deliveries import Deliveries
from shared.state.events import News
from shared.state.outbox import Entry, Outbox, Written
from shared.state.refusals import PoolBusy
from shared.state.switches import Switches
from tests.unit.api.config import CONFIG, NARROW
from tests.unit.api.service import BODIES, COMPANY, ITEMS, fill_outbox, named, receiver_of
from tests.unit.world import ONE, SESSION

OTHERS = {
    "create_link": {"companyName": "X"},
    "send": {"text": "x"},
    "start_attempt": {"phoneNumber": "+79007654321"},
    "test_receiver": {"companyId": "another"},
}
"""Other bodies of the same kind."""


def given(operation):
    """What a well-behaved client sends."""
    return {"json": BODIES[operation.name]} if operation.body else {}


async def without_a_key(service, operation):
    return await service(operation, key=None, **given(operation))


async def with_a_key_of_another_scope(service, operation):
    (scope, *_) = set(Scope) - operation.scopes
    return await service(operation, key=NARROW[scope], **given(operation))


async def after_many_wrong_keys(service, operation):
    for _ in range(WRONG_KEYS):
        await service(operation, key="wrong-key-of-somebody", **given(operation))
    return await service(operation, key="wrong-key-of-somebody", **given(operation))


async def for_an_impossible_id(service, operation):
    return await service(operation, name="a%20b", **given(operation))


async def with_too_much(service, operation):
    return await service(operation, content=b" " * (MAX_BODY_BYTES + 1))


async def with_rubbish(service, operation):
    return await service(
        operation,
        content=b"{}",
        params={one.name: "!" for one in operation.takes if one.place == "query"},
        headers={one.name: "rubbish" for one in operation.takes if one.place == "header"},
    )


async def with_a_number_that_is_none(service, operation):
    if operation.name == "contact":
        return await service(operation, item="12")
    field = {"send": "to"}.get(operation.name, "phoneNumber")
    return await service(operation, json=BODIES[operation.name] | {field: "12"})


async def under_a_key_of_another_request(service, operation):
    if operation.name == "send":
        await service.link()
    for company in (COMPANY, "another"):
        await receiver_of(service, company)
    headers = {"idempotency-key": "k"}
    await service(operation, json=BODIES[operation.name], headers=headers)
    return await service(operation, json=BODIES[operation.name] | OTHERS[operation.name], headers=headers)


async def with_all_streams_taken(service, operation):
    service.app.feed._readers = MOST_READERS
    return await as_it_is(service, operation)


async def of_a_linked_company(service, operation):
    await service.link()
    return await as_it_is(service, operation)


async def while_a_code_for_another_phone_runs(service, operation):
    await service(operation, json=BODIES[operation.name])
    return await service(operation, json=BODIES[operation.name] | OTHERS[operation.name])


async def after_many_attempts(service, operation):
    await service.redis.set(keys.starts(SESSION), MOST_STARTS, px=60_000)
    return await as_it_is(service, operation)


async def while_paused(service, operation):
    await Switches(service.redis).throw("pause", "on", by="test", why="")
    return await as_it_is(service, operation)


async def in_a_crowd(service, operation):
    waiting = {f"link:company_{number}:1": now_ms() for number in range(LEAST_WAITING)}
    await service.redis.zadd(keys.QUEUE_LINKING, waiting)
    return await as_it_is(service, operation)


async def as_it_is(service, operation):
    return await service(operation, **given(operation))


async def over_no_redis(service, operation):
    service.server.connected = False
    return await as_it_is(service, operation)


async def while_nobody_asks_whatsapp(service, operation):
    await service.link()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "ANSWER_SECONDS", 0.05)
        return await as_it_is(service, operation)


async def with_a_full_outbox(service, operation):
    await service.link()
    await fill_outbox(service)
    return await as_it_is(service, operation)


async def with_a_bug(service, operation, fault=AttributeError):
    def broken(*_args, **_options):
        raise fault("a bug")

    for name in ("set", "get", "mget", "hmget", "hgetall", "zscore", "pipeline", "execute_command"):
        setattr(service.redis, name, broken)
    return await as_it_is(service, operation)


async def with_every_connection_taken(service, operation):
    return await with_a_bug(service, operation, PoolBusy)


WAYS = {
    problems.NOT_ALLOWED: without_a_key,
    problems.NOT_IN_SCOPE: with_a_key_of_another_scope,
    problems.TOO_MANY_KEYS: after_many_wrong_keys,
    problems.NO_COMPANY: for_an_impossible_id,
    problems.NO_LINK: for_an_impossible_id,
    problems.NOT_LINKED: as_it_is,
    problems.NO_MESSAGE: as_it_is,
    problems.NO_ANSWER: while_nobody_asks_whatsapp,
    problems.TOO_LARGE: with_too_much,
    problems.NOT_UNDERSTOOD: with_rubbish,
    problems.NOT_A_PHONE: with_a_number_that_is_none,
    problems.OUTBOX_FULL: with_a_full_outbox,
    problems.KEY_REUSED: under_a_key_of_another_request,
    problems.NO_RECEIVER: as_it_is,
    problems.NO_EVENT: for_an_impossible_id,
    problems.TOO_MANY_STREAMS: with_all_streams_taken,
    problems.ALREADY_LINKED: of_a_linked_company,
    problems.REFUSED: while_a_code_for_another_phone_runs,
    problems.COOLING_DOWN: after_many_attempts,
    problems.PAUSED: while_paused,
    problems.NO_ROOM: in_a_crowd,
    problems.BUG: with_a_bug,
    problems.AWAY: over_no_redis,
    problems.BUSY: with_every_connection_taken,
}


@pytest.mark.parametrize(
    ("operation", "kind"),
    [(one, kind) for one in openapi.ALL for kind in one.problems],
    ids=lambda one: getattr(one, "title", None) or one.name,
)
async def test_every_problem_that_is_described_can_be_met_and_looks_as_described(service, operation, kind):
    answer = await WAYS[kind](service, operation)
    assert answer.status_code == kind.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["title"] == kind.title
    assert answer.json()["type"] == kind.type
    for name, value in kind.headers.items():
        if name == "Retry-After":  # the example is the longest
            assert 0 < int(answer.headers[name]) <= int(value)
        else:
            assert answer.headers[name] == value
    assert_fits(operation, answer)


def assert_fits(operation, answer):
    """The answer is one of those that are described, and its body fits the schema."""
    made = document()
    described = made["paths"][operation.path][operation.method.lower()]["responses"][str(answer.status_code)]
    if "content" not in described:
        assert answer.content == b""
        return
    media = answer.headers["content-type"].partition(";")[0]
    schema = described["content"][media]["schema"]
    body = answer.json() if media.endswith("json") else answer.text
    OAS31Validator({**schema, "components": made["components"]}).validate(body)


@pytest.mark.parametrize("operation", openapi.ALL, ids=lambda one: one.name)
async def test_every_operation_that_is_described_answers_as_described(service, operation):
    lease = await service.link() if operation.name != "start_attempt" else None
    await service.redis.zadd(keys.WORKERS, {ONE: now_ms()})
    name = COMPANY
    session = SessionId(f"company_{COMPANY}")
    await Contacts(service.redis, CONFIG.secret_key).keep(
        session, ITEMS["number"], Contact(True, ITEMS["number"], "9@lid")
    )
    failed = Entry(ITEMS["message"], Written.ENDED, Fate(MessageState.FAILED, NotSent.REFUSED, 463))
    await Outbox(service.redis).step(session, [failed], lease=lease)
    if operation.name == "link":
        name = (await service(named("create_link"), json=BODIES["create_link"])).json()["id"]
    await receiver_of(service, COMPANY)
    if operation.name in {"delivery", "resend"}:
        name = "e1"
        await Deliveries(service.redis, News()).test(CompanyId(COMPANY), name)
    if operation.name == "events":
        service.app.feed.close()  # else it does not end
    answer = await service(operation, name=name, **given(operation))
    assert answer.status_code == operation.answers[0].status, answer.text
    assert_fits(operation, answer)


async def test_readiness_fits_its_description_without_redis_too(service):
    service.server.connected = False
    answer = await service(named("readyz"))
    assert answer.status_code == 503
    assert_fits(named("readyz"), answer)
