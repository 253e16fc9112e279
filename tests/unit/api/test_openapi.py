"""The API's description is valid, says of every route what is true, and every problem that it names can be met."""

import json
import re

import httpx
import openapi_spec_validator
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from openapi_schema_validator import OAS31Validator
from starlette.routing import Route

from app import openapi
from app.access import WRONG_KEYS
from app.api import texts
from app.api.feed import MOST_READERS
from app.api.models import CompanyView
from app.http import problems
from app.http.problems import MAX_BODY_BYTES
from app.main import create_app
from app.openapi import document
from shared.core import keys
from shared.core.apikeys import Scope
from shared.core.clock import now_ms
from shared.core.events import EventType
from shared.core.ids import CompanyId, SessionId
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState, NotSent
from shared.core.protocol import Snapshot
from shared.core.signing import new_secret
from shared.jobs.queue import client, link_job_id
from shared.state import outbox as outbox_module
from shared.state.claims import LEAST_WAITING, MOST_STARTS
from shared.state.contacts import Contact, Contacts
from shared.state.deliveries import Deliveries
from shared.state.events import News
from shared.state.outbox import Entry, Message, Next, Outbox, Written
from shared.state.receivers import Receivers
from shared.state.refusals import PoolBusy
from shared.state.switches import Switches
from tests.unit.api.conftest import CONFIG, KEY, NARROW
from tests.unit.world import ONE, SESSION, World

COMPANY = "salon-1"
AT_HOME = ("/", "/link", "/ws/v1", "/states", "/static", "/docs", "/docs/style.css")
"""Of the page, not of the API."""


class Service:
    """The API over a pretended Redis, in this process."""

    def __init__(self, server):
        self.server = server
        self.redis = client(FakeAsyncRedis(server=server, version=(7,)).connection_pool)
        self.app = create_app(CONFIG, redis=self.redis)

    async def __call__(self, operation, *, key=KEY, name=COMPANY, item=None, **given):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers |= given.pop("headers", {})
        async with httpx.AsyncClient(transport=transport, base_url="http://web", headers=headers) as http:
            path = operation.path.replace("{id}", name)
            for name, usual in ITEMS.items():
                path = path.replace(f"{{{name}}}", item or usual)
            return await http.request(operation.method, path, **given)

    async def link(self):
        """The company has a linked device, held by a worker."""
        return await World(self.redis).serve(ONE, State.LINKED)


@pytest.fixture
async def service():
    made = Service(FakeServer())
    yield made
    made.server.connected = True
    await made.redis.aclose(close_connection_pool=True)


def test_it_is_valid_openapi_3_1():
    made = document()
    assert made["openapi"].startswith("3.1")
    assert made["info"]["license"]["identifier"] == "Apache-2.0"
    openapi_spec_validator.validate(made)
    json.dumps(made)


def test_every_route_of_the_application_is_described_and_every_described_route_is_there():
    routes = {
        (method, route.path)
        for route in create_app(CONFIG).routes
        if isinstance(route, Route) and route.path not in AT_HOME and not route.path.startswith("/static")
        for method in route.methods - {"HEAD"}
    }
    described = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert {one for one in routes if re.match(r"/(api|metrics|healthz|readyz)", one[1])} == described


def test_names_are_unique_and_every_path_says_what_its_id_is():
    made = document()
    operations = [one for methods in made["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations] + [
        hook["post"]["operationId"] for hook in made["webhooks"].values()
    ]
    assert len(names) == len(set(names))
    for path, methods in made["paths"].items():
        for one in methods.values():
            inside = [given["name"] for given in one.get("parameters", []) if given["in"] == "path"]
            assert inside == re.findall(r"\{(\w+)\}", path)


def test_every_webhook_is_described():
    assert set(document()["webhooks"]) == {kind.value for kind in EventType}
    assert all(kind.says.endswith(".") for kind in EventType)


def test_no_field_that_may_be_left_out_has_a_default_which_generators_take_for_always_there():
    schemas = document()["components"]["schemas"].values()
    assert [one for schema in schemas for one in schema.get("properties", {}).values() if "default" in one] == []


def test_only_bodies_are_closed_so_that_answers_may_grow():
    schemas = document()["components"]["schemas"]
    bodies = {"NewAttempt", "NewBrand", "NewLink", "NewMessage", "NewReceiver", "NewTest"}
    assert {name for name, one in schemas.items() if "additionalProperties" in one} == bodies


def test_a_company_is_shown_as_the_page_shows_it_but_for_what_the_owner_alone_may_see():
    assert set(CompanyView.model_fields) == set(Snapshot.model_fields) - {"qr", "code"}


def test_the_description_and_the_health_checks_need_no_key():
    made = document()
    open_ = {path for path, methods in made["paths"].items() for one in methods.values() if one.get("security") == []}
    assert open_ == {"/api/v1/openapi.json", "/healthz", "/readyz"}
    assert made["security"] == [{"apiKey": []}]
    asked = {one["operationId"]: [scope for each in one["security"] for scope in each["apiKey"]]
             for methods in made["paths"].values() for one in methods.values()}  # fmt: skip
    assert asked["createLink"] == ["links"]
    assert asked["company"] == ["companies", "links", "messages"], "any one of them"


def named(name):
    return next(one for one in openapi.ALL if one.name == name)


ITEMS = {"message": "00ff00ff00ff00ff", "number": "+79001234567"}
"""The second id in a path."""

BODIES = {
    "create_link": {"companyId": COMPANY},
    "send": {"to": "+79001234567", "text": "hello"},
    "start_attempt": {"method": "code", "phoneNumber": "+79001234567"},
    "put_receiver": {"url": "https://hooks.example/in"},
    "test_receiver": {"companyId": COMPANY},
}
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
        params={one.name: "!" for one in operation.query},
        headers={one.name: "rubbish" for one in operation.headers},
    )


async def with_a_number_that_is_none(service, operation):
    if operation.name == "contact":
        return await service(operation, item="12")
    field = {"send": "to"}.get(operation.name, "phoneNumber")
    return await service(operation, json=BODIES[operation.name] | {field: "12"})


async def fill_outbox(service):
    for _ in range(200):
        await Outbox(service.redis).accept(SessionId(f"company_{COMPANY}"), Message("+79001234567", "x"))


async def under_a_key_of_another_request(service, operation):
    if operation.name == "send":
        await service.link()
    for company in (COMPANY, "another"):
        await receiver_of(service, company)
    headers = {"idempotency-key": "k"}
    await service(operation, json=BODIES[operation.name], headers=headers)
    return await service(operation, json=BODIES[operation.name] | OTHERS[operation.name], headers=headers)


async def receiver_of(service, company):
    await Receivers(CONFIG, service.redis).put(CompanyId(company), "https://hooks.example/", new_secret(), None)


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
    if operation.name != "start_attempt":
        await service.link()
    await service.redis.zadd(keys.WORKERS, {ONE: now_ms()})
    name = COMPANY
    session = SessionId(f"company_{COMPANY}")
    await Contacts(service.redis, CONFIG.secret_key).keep(
        session, ITEMS["number"], Contact(True, ITEMS["number"], "9@lid")
    )
    await Outbox(service.redis).settle(session, ITEMS["message"], Fate(MessageState.FAILED, NotSent.REFUSED, 463))
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


def test_problem_types_do_not_change_with_their_texts():
    made = document()
    types = {
        example["value"]["type"]
        for methods in made["paths"].values()
        for one in methods.values()
        for answer in one["responses"].values()
        for example in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}).values()
    }
    assert types == {
        f"/problems/{name}"
        for name in (
            "no-such-message", "whatsapp-did-not-answer", "not-allowed", "not-in-scope", "too-many-wrong-keys", "no-such-company", "no-such-link", "not-linked", "too-large", "not-understood",
            "no-receiver", "no-such-event", "too-many-streams", "already-linked", "refused", "cool-down", "paused", "no-room", "not-a-phone-number", "key-reused", "outbox-full", "our-fault", "redis-is-away", "busy",
        )
    }  # fmt: skip


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
    await outbox.step(SESSION, lease=lease, begin=Next(first))
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


async def test_readiness_fits_its_description_without_redis_too(service):
    service.server.connected = False
    answer = await service(named("readyz"))
    assert answer.status_code == 503
    assert_fits(named("readyz"), answer)


async def test_the_description_is_served_as_it_is_made(service):
    answer = await service(named("openapi"), key=None)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(document()))


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
