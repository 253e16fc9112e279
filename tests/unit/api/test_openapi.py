"""The API's description is valid, says of every route what is true, and every problem that it names can be met."""

import json
import re

import openapi_spec_validator
from starlette.routing import Route

from app.api.models import CompanyView
from app.main import create_app
from app.openapi import document
from shared.core.events import EventType
from shared.core.protocol import Snapshot
from tests.unit.api.config import CONFIG
from tests.unit.api.service import named

AT_HOME = ("/", "/link", "/ws/v1", "/states", "/static", "/docs", "/docs/style.css")
"""Of the page, not of the API."""


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


async def test_the_description_is_served_as_it_is_made(service):
    answer = await service(named("openapi"), key=None)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(document()))
