"""The way in: an HTTP CONNECT proxy that ends TLS itself and upgrades to a websocket, or serves a web page.

The client believes to reach `wss://web.whatsapp.com/ws/chat` through a proxy. The proxy's user name is the client's tag.
`GET /` and `GET /sw.js` of the same host name the present web version, to whoever asks as a browser does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import NoReturn

from emulator.events import Kind
from emulator.faults import DEFAULT_DELAY, Fault
from emulator.rules import Rule
from emulator.server import media
from emulator.server.connection import Connection
from emulator.server.world import World
from emulator.wire.websocket import Websocket, WebsocketClosed, accept_response, read_http_head

TARGET = "web.whatsapp.com:443"
MEDIA_TARGET = f"{media.HOST}:443"
PATH = "/ws/chat"
PAGES = {
    "/": (
        Fault.WEB_PAGE_REFUSED,
        '<!DOCTYPE html><script>requireLazy(["SiteData"],{"client_revision":%d,"tier":""})</script>',
    ),
    "/sw.js": (Fault.WEB_SCRIPT_REFUSED, r'self.__swData=JSON.parse("{\"client_revision\":%d,\"hash\":1}");'),
}
"""Paths that name the web version: the fault that refuses each, and its text (as the real ones have it, shortened)."""
ORIGIN = "https://web.whatsapp.com"
_TLS_SECONDS = 30.0


class _Refused(Exception):
    """The request was answered by an HTTP error or a page, or not at all; nothing more is to do."""


def _tag(headers: dict[str, str]) -> str:
    """The user name of `Proxy-Authorization: Basic`; empty without one."""
    scheme, _, value = headers.get("proxy-authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


class Proxy:
    """Serves every TCP connection that comes in."""

    def __init__(self, world: World, tls: ssl.SSLContext) -> None:
        self._world, self._tls = world, tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Ends all connections."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Called by asyncio for each TCP connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._world.events.add(Kind.EMULATOR_FAILED, reason=repr(error))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tag = ""
        try:
            tag = await self._connect(reader, writer)
            async with asyncio.timeout(_TLS_SECONDS):
                await writer.start_tls(self._tls)
                await self._upgrade(reader, writer, tag)
        except (_Refused, WebsocketClosed, ConnectionError, TimeoutError):
            writer.close()
            return
        except ssl.SSLError as error:
            self._world.events.add(Kind.CLIENT_VIOLATION, tag=tag, reason=f"TLS: {error.reason}")
            writer.close()
            return
        connection = Connection(self._world, Websocket(reader, writer), tag)
        connection.log(Kind.CONNECTION_OPENED)
        await connection.run()

    def _strike(self, fault: Fault, tag: str) -> Rule | None:
        rule = self._world.rules.take(fault, tag, None)
        if rule is not None:
            self._world.events.add(Kind.FAULT_FIRED, tag=tag, fault=fault, rule=rule.id)
        return rule

    async def _reject(self, writer: asyncio.StreamWriter, tag: str, status: int, why: str) -> NoReturn:
        self._world.events.add(Kind.CONNECTION_REFUSED, tag=tag, status=status, reason=why)
        body = f"emulator: {why}\n".encode()
        writer.write(
            f"HTTP/1.1 {status} Refused\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        await writer.drain()
        raise _Refused

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Answers CONNECT and returns the tag."""
        first, headers = await read_http_head(reader)
        tag = _tag(headers)
        method, _, rest = first.partition(" ")
        target = rest.partition(" ")[0]
        if method != "CONNECT":
            await self._reject(writer, tag, 405, f"{method} is not CONNECT")
        if target not in (TARGET, MEDIA_TARGET):
            await self._reject(writer, tag, 502, f"{target} does not exist here, only {TARGET}")
        if target == MEDIA_TARGET and self._strike(Fault.MEDIA_UNREACHABLE, tag) is not None:
            await self._reject(writer, tag, 502, "as armed")
        if (rule := self._strike(Fault.CONNECT_HTTP_ERROR, tag)) is not None:
            await self._reject(writer, tag, rule.status or 502, "as armed")
        if self._strike(Fault.CONNECT_CUT, tag) is not None:
            writer.transport.abort()
            raise _Refused
        if self._strike(Fault.CONNECT_SILENCE, tag) is not None:
            await reader.read()
            raise _Refused
        if (rule := self._strike(Fault.CONNECT_LATE, tag)) is not None:
            await asyncio.sleep(DEFAULT_DELAY if rule.delay is None else rule.delay)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        return tag

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tag: str) -> None:
        first, headers = await read_http_head(reader)
        if headers.get("host", "").partition(":")[0] == media.HOST:
            await self._serve_file(reader, writer, tag, first)
        if (page := first.removeprefix("GET ").removesuffix(" HTTP/1.1")) in PAGES:
            await self._show(writer, tag, page, headers)
        if first != f"GET {PATH} HTTP/1.1":
            await self._reject(writer, tag, 404, f"{first} is not GET {PATH}")
        if headers.get("upgrade", "").lower() != "websocket" or headers.get("sec-websocket-version") != "13":
            await self._reject(writer, tag, 400, "no websocket upgrade")
        if headers.get("origin") != ORIGIN:
            await self._reject(writer, tag, 403, f"the origin is not {ORIGIN}")
        if (rule := self._strike(Fault.WEBSOCKET_HTTP_ERROR, tag)) is not None:
            await self._reject(writer, tag, rule.status or 503, "as armed")
        writer.write(accept_response(headers.get("sec-websocket-key", "")))
        await writer.drain()

    async def _serve_file(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tag: str, first: str
    ) -> NoReturn:
        if self._strike(Fault.MEDIA_SILENCE, tag) is not None:
            await reader.read()
            raise _Refused
        if (rule := self._strike(Fault.MEDIA_HTTP_ERROR, tag)) is not None:
            await self._reject(writer, tag, rule.status or 404, "as armed")
        path = first.removeprefix("GET ").partition(" ")[0].partition("?")[0]
        body = self._world.media.get(path)
        if body is None:
            await self._reject(writer, tag, 404, f"{path[:80]} is not on the media host")
        self._world.events.add(Kind.MEDIA_SERVED, tag=tag, path=path, bytes=len(body))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        raise _Refused

    async def _show(self, writer: asyncio.StreamWriter, tag: str, page: str, headers: dict[str, str]) -> NoReturn:
        fault, text = PAGES[page]
        if (rule := self._strike(fault, tag)) is not None:
            await self._reject(writer, tag, rule.status or 400, "as armed")
        if headers.get("sec-fetch-site") != "none" or "Mozilla/5.0" not in headers.get("user-agent", ""):
            await self._reject(writer, tag, 400, f"{page} is asked for as no browser does")
        body = (text % self._world.settings(tag).web_revision).encode()
        self._world.events.add(Kind.WEB_PAGE_SERVED, tag=tag, page=page)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        raise _Refused
