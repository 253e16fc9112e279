"""The control port: JSON over HTTP, by which tests and the phone page steer the emulator and look at it. README lists the calls.

A table of calls, hence one file.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from emulator.control import models
from emulator.control.guard import PAGE, LoopbackOnly, PhonePage
from emulator.control.reading import BadRequest, number_in, read_body
from emulator.control.stage import NotThere, Stage
from emulator.control.talking import Talking
from emulator.environment import Ready
from emulator.events import Kind
from emulator.faults import FAULTS
from emulator.phone.phone import Phone
from emulator.phone.pictures import NoQrFound, read_qr
from emulator.phone.talk import Talk
from emulator.rules import Rule
from emulator.server.settings import TagSettings
from emulator.server.state import Account
from emulator.server.world import World

_MOST_WAIT = 55.0
"""Seconds that one call to /events waits at most."""


def _rule(body: models.RuleBody, **changes: object) -> Rule:
    return Rule(id=0, **{**body.model_dump(), **changes})


def _account_json(world: World, account: Account) -> dict[str, object]:
    pending = world.codes.get(account.number)
    return {
        "number": account.number,
        "name": account.name,
        "business_name": account.business_name,
        "platform": account.platform,
        "lid": account.lid,
        "device_limit": account.device_limit,
        "on_whatsapp": account.on_whatsapp,
        "also": account.also,
        "receipts": account.receipts,
        "companions": account.companions,
        "code_wanted": pending is not None and pending.alive,
        "devices": _devices_json(world, account),
    }


def _devices_json(world: World, account: Account) -> list[dict[str, object]]:
    keep = ("id", "os", "platform", "linked_at", "last_seen", "prekeys")
    return [
        {key: value for key, value in asdict(device).items() if key in keep}
        | {"online": (account.number, device.id) in world.online}
        for device in account.devices.values()
    ]


class _Control:
    """The calls."""

    def __init__(self, world: World, ready: Ready) -> None:
        self._world, self._ready = world, ready

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/events", self.events),
            Route("/faults", self.faults),
            Route("/rules", self.rules, methods=["GET", "POST", "DELETE"]),
            Route("/rules/{rule:int}", self.drop_rule, methods=["DELETE"]),
            Route("/tags/{tag}/settings", self.settings, methods=["GET", "PUT"]),
            Route("/connections", self.connections),
            Route("/connections/cut", self.cut, methods=["POST"]),
            Route("/messages", self.messages),
            Route("/phones", self.phones),
            Route("/phones/{number:int}", self.phone, methods=["GET", "PUT", "DELETE"]),
            Route("/phones/{number:int}/devices", self.devices),
            Route("/phones/{number:int}/scan", self.scan, methods=["POST"]),
            Route("/phones/{number:int}/type", self.type_code, methods=["POST"]),
            Route("/phones/{number:int}/logout", self.logout, methods=["POST"]),
            Route("/phones/{number:int}/behaviour", self.behaviour, methods=["GET", "PUT"]),
        ]

    def _phone(self, request: Request) -> Phone:
        return Phone(self._world, number_in(request))

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"ready": True, **asdict(self._ready)})

    async def events(self, request: Request) -> Response:
        """`after`: only newer ones; `wait`: seconds to wait for the first that matches; `kind`, `tag`, `phone` narrow it."""
        query = request.query_params
        after, wait = int(query.get("after", 0)), min(float(query.get("wait", 0)), _MOST_WAIT)
        narrow = {key: query[key] for key in ("kind", "tag", "phone") if key in query}
        if "kind" in narrow and narrow["kind"] not in list(Kind):
            raise BadRequest(f"there is no event {narrow['kind']}")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            fresh = self._world.events.since(after)
            after = fresh[-1].id if fresh else after
            found = [event for event in fresh if all(getattr(event, key) == value for key, value in narrow.items())]
            if found or self._world.events.closed or loop.time() >= deadline:
                return JSONResponse({"events": [event.json() for event in found], "last": after})
            await self._world.events.wait(after, deadline - loop.time())

    async def faults(self, _: Request) -> Response:
        return JSONResponse({"faults": [{"fault": fault, **asdict(doc)} for fault, doc in FAULTS.items()]})

    async def rules(self, request: Request) -> Response:
        rules = self._world.rules
        if request.method == "POST":
            return JSONResponse(asdict(rules.add(_rule(await read_body(request, models.RuleBody)))), 201)
        found = rules.all(tag=request.query_params.get("tag"), phone=request.query_params.get("phone"))
        if request.method == "DELETE":
            rules.remove(found)
        return JSONResponse({"rules": [asdict(rule) for rule in found]})

    async def drop_rule(self, request: Request) -> Response:
        found = [rule for rule in self._world.rules.all() if rule.id == request.path_params["rule"]]
        self._world.rules.remove(found)
        return JSONResponse({"rules": [asdict(rule) for rule in found]}, 200 if found else 404)

    async def settings(self, request: Request) -> Response:
        tag = request.path_params["tag"]
        if request.method == "PUT":
            self._world.tags[tag] = TagSettings(**(await read_body(request, models.SettingsBody)).model_dump())
        return JSONResponse(asdict(self._world.settings(tag)))

    async def connections(self, request: Request) -> Response:
        tag = request.query_params.get("tag")
        found = [
            {
                "id": connection.id,
                "tag": connection.tag,
                "phone": connection.phone,
                "device": connection.linked.device.id if connection.linked else None,
                "status": connection.status,
                "opened_at": connection.opened_at,
            }
            for connection in self._world.connections.values()
            if tag in (None, connection.tag)
        ]
        return JSONResponse({"connections": found})

    async def cut(self, request: Request) -> Response:
        body = await read_body(request, models.CutBody)
        found = [
            connection
            for connection in self._world.connections.values()
            if body.tag in (None, connection.tag)
            and body.phone in (None, connection.phone)
            and body.connection in (None, connection.id)
        ]
        for connection in found:
            connection.cut("by the control port")
        return JSONResponse({"cut": len(found)})

    async def messages(self, request: Request) -> Response:
        phone = request.query_params.get("phone")
        return JSONResponse(
            {
                "messages": [
                    asdict(message) for message in self._world.messages.values() if phone in (None, message.phone)
                ]
            }
        )

    async def phones(self, _: Request) -> Response:
        accounts = self._world.state.accounts.values()
        return JSONResponse({"phones": [_account_json(self._world, account) for account in accounts]})

    async def phone(self, request: Request) -> Response:
        phone = self._phone(request)
        if request.method == "DELETE":
            for device in tuple(phone.account.devices):
                phone.logout(device)
            self._world.state.forget(phone.number)
            return JSONResponse({"number": phone.number})
        if request.method == "PUT":
            body = await read_body(request, models.PhoneBody)
            for key, value in body.model_dump(exclude_none=True).items():
                setattr(phone.account, key, value)
            self._world.state.save(phone.account)
        return JSONResponse(_account_json(self._world, phone.account))

    async def devices(self, request: Request) -> Response:
        return JSONResponse({"devices": _devices_json(self._world, self._phone(request).account)})

    async def scan(self, request: Request) -> Response:
        phone, body = self._phone(request), await read_body(request, models.ScanBody)
        text = body.qr
        if text is None:
            try:
                picture = base64.b64decode(body.png_base64 or "", validate=True)
                text = await asyncio.to_thread(read_qr, picture)
            except (NoQrFound, binascii.Error) as error:
                raise BadRequest(str(error)) from error
        return JSONResponse({"outcome": await phone.scan(text)})

    async def type_code(self, request: Request) -> Response:
        phone, body = self._phone(request), await read_body(request, models.TypeBody)
        return JSONResponse({"outcome": await phone.type_code(body.code)})

    async def logout(self, request: Request) -> Response:
        phone, body = self._phone(request), await read_body(request, models.LogoutBody)
        wanted = tuple(phone.account.devices) if body.device is None else (body.device,)
        return JSONResponse({"logged_out": [device for device in wanted if phone.logout(device)]})

    async def behaviour(self, request: Request) -> Response:
        phone, rules = self._phone(request), self._world.rules
        if request.method == "PUT":
            body = await read_body(request, models.BehaviourBody)
            rules.remove([rule for rule in rules.all(phone=phone.number) if rule.sticky])
            for rule in body.rules:
                rules.add(_rule(rule, phone=phone.number, sticky=True, times=None))
        sticky = [asdict(rule) for rule in rules.all(phone=phone.number) if rule.sticky]
        return JSONResponse({"rules": sticky})


async def _bad_request(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _not_there(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503)


def control_app(world: World, talk: Talk, ready: Ready, service: Path | None) -> ASGIApp:
    """The application that the control port serves. `service`: see stage.Stage."""
    routes: list[Route | Mount] = [
        *_Control(world, ready).routes(),
        *Talking(world, talk).routes(),
        *Stage(service).routes(),
    ]
    routes.append(Mount("/phone", PhonePage(directory=PAGE, html=True)))
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        BadRequest: _bad_request,
        NotThere: _not_there,
        ValueError: _bad_request,
    }
    return LoopbackOnly(Starlette(routes=routes, exception_handlers=handlers))
