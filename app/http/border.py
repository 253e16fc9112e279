"""The border of the HTTP API: it gives requests an id, checks keys, records acts, and turns failures into problems."""

import hmac
import math
import re
import secrets
import time
from functools import partial
from typing import Any

import structlog
from redis.asyncio import Redis
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http import problems
from app.http.body import read_body
from app.http.operations import COMPANY_ID, Operation, operations_of, reply, session_in
from app.http.problems import UNKEPT, Problem, request_id
from shared.core import keys
from shared.core.apikeys import ApiKey, digest_of
from shared.core.failures import Refused
from shared.core.hosts import neighbourhood
from shared.log import log
from shared.settings import Settings
from shared.state.pool import PASSING, answer
from shared.state.refusals import reason
from shared.tasks import outlived
from shared.telemetry import sentry
from shared.telemetry.metrics import Counter, field

REQUEST_ID = "x-request-id"
WRONG_KEYS = 20
"""Wrong keys of one address that are answered within a window. A right key always is."""
WINDOW_SECONDS = 60.0
_ADDRESSES = 10_000
_PAGE = ("/link", "/static/")
"""Answers with files of the page carry no request id: each byte delays the first QR."""
_OURS_OR_THE_ROUTERS = re.compile(r"[A-Za-z0-9._-]{8,64}")


class Named:
    """Gives every request an id, or keeps the one that the host's router has given it, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == REQUEST_ID.encode()), "")
        name = given if _OURS_OR_THE_ROUTERS.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        before = request_id.set(name)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith(_PAGE):
                MutableHeaders(scope=message)[REQUEST_ID] = name
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(request=name):
                await self._app(scope, receive, named)
        finally:
            request_id.reset(before)


class Callers:
    """Tells callers of the API apart by their keys, and counts the wrong ones of each address."""

    def __init__(self, known: tuple[ApiKey, ...]) -> None:
        self._known = known
        self._wrong: dict[str, tuple[float, int]] = {}

    def identify(self, authorization: str) -> ApiKey | None:
        """The key that an `Authorization` header carries; None for no key of ours. Takes the same time for each."""
        scheme, _, given = authorization.partition(" ")
        digest = digest_of(given.strip())
        found = None
        # Compare every key, so that the time does not tell which one matched.
        for one in self._known:
            if hmac.compare_digest(digest, one.digest):
                found = one
        return found if scheme.lower() == "bearer" else None

    def count_wrong(self, address: str) -> int:
        """Count a wrong key of this address. Returns for how many seconds it must wait; 0 for not at all."""
        now = time.monotonic()
        began, count = self._wrong.pop(address, (now, 0))
        if now - began > WINDOW_SECONDS:
            began, count = now, 0
        self._wrong[address] = (began, count + 1)  # at the end: the first one is the oldest
        if len(self._wrong) > _ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        return math.ceil(began + WINDOW_SECONDS - now) if count >= WRONG_KEYS else 0


class Border:
    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._callers = Callers(settings.known_keys)
        self._redis = redis

    def routes(self, owner: Any) -> list[Route]:
        """The routes of all operations that `owner` answers."""
        found = operations_of(type(owner))
        return [Route(one.path, partial(self._serve, one, owner), methods=[one.method]) for one in found]

    async def _serve(self, operation: Operation, owner: Any, request: Request) -> Response:
        try:
            key = await self._let_in(operation, request) if operation.scopes else None
        except Problem as problem:
            return problem.response()
        session = session_in(request) if COMPANY_ID in operation.ids and COMPANY_ID.fits(request) else None
        sentry.during(f"api.{operation.name}", session)
        answered = await _answered(operation, owner, request)
        if key is not None:
            answered.headers.update(UNKEPT)
            if operation.method != "GET":
                name, status = operation.name, answered.status_code
                log.info("api.write", operation=name, key=key.name, session=session, status=status)
                await self._count(field(Counter.API_WRITES, operation=name, key=key.name, status=str(status)))
        return answered

    async def _let_in(self, operation: Operation, request: Request) -> ApiKey:
        given = request.headers.get("authorization", "")
        key = self._callers.identify(given)
        address = neighbourhood(request.client.host) if request.client else "unknown"
        if key is not None and key.scopes & operation.scopes:
            request.state.key = key
            return key
        why, about = ("scope", {"key": key.name}) if key is not None else ("wrong" if given else "none", {})
        log.warning("api.key-refused", operation=operation.name, address=address, why=why, **about)
        await self._count(field(Counter.API_REFUSED, reason=why))
        if key is not None:
            needed = " or ".join(f"`{one.value}`" for one in sorted(operation.scopes))
            raise Problem(problems.NOT_IN_SCOPE, f"The key {key.name!r} lacks the scope {needed}.")
        wait = self._callers.count_wrong(address) if given else 0
        raise Problem(problems.TOO_MANY_KEYS if wait else problems.NOT_ALLOWED, retry_after=wait or None)

    async def _count(self, counter: str) -> None:
        with outlived("api.uncounted"):
            await answer(self._redis.hincrby(keys.STATS, counter, 1))


async def _answered(operation: Operation, owner: Any, request: Request) -> Response:
    path, status = request.url.path, operation.answers[0].status
    try:
        for one in operation.ids:
            one.text_of(request)
        asked = [await read_body(request, operation.body)] if operation.body else []
        made = await operation.handler(owner, request, *asked)
        if isinstance(made, Response):
            return made
        return Response(status_code=status) if made is None else reply(made, status)
    except Problem as problem:
        return problem.response()
    except Refused as refused:
        return problems.of_refusal(refused).response()
    except ClientDisconnect:
        log.info("api.hung-up", path=path)
        return Response(status_code=400)  # nobody reads it
    except PASSING as error:
        log.warning("api.interrupted", path=path, error=reason(error))
        return problems.of_redis(error).response()
