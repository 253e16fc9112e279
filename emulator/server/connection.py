"""One client's connection: frames, handshake, stanzas in and out, and the place where faults strike.

All of it works on the state of the one connection: one file.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Coroutine

from emulator.events import Kind
from emulator.faults import DEFAULT_DELAY, Fault, Step
from emulator.rules import Rule
from emulator.server import login, pairing_qr, queries
from emulator.server.settings import TagSettings
from emulator.server.state import now_ms
from emulator.server.world import Linked, Status, World
from emulator.wire.binary_xml import MalformedStanza, decode, encode
from emulator.wire.keys import KeyPair
from emulator.wire.nodes import SERVER_JID, Jid, Node
from emulator.wire.noise import EDGE_HEAD, EDGE_MARK, PROLOGUE, HandshakeRefused, SealedChannel, ServerHandshake
from emulator.wire.payload import BadPayload, Login, Registration, parse
from emulator.wire.websocket import Socket, WebsocketClosed

_FRAME_HEAD = 3


class Connection:
    """`tag` is the client's group; `phone` the number, once it is known; `linked` the device, once it has logged in."""

    def __init__(self, world: World, socket: Socket, tag: str) -> None:
        self.world, self.tag = world, tag
        self.id = next(world.connection_ids)
        self.opened_at = now_ms()
        self.status = Status.HANDSHAKE
        self.phone: str | None = None
        self.linked: Linked | None = None
        self.registration: Registration | None = None
        self.client_static = b""
        self.refs_acknowledged = False
        self.qr_is_dead = False
        self._socket = socket
        self._channel: SealedChannel | None = None
        self._buffer = b""
        self._greeted = False
        self._muted = False
        self._end_reason = ""
        self._early: list[Node] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_the_way: deque[bytes] = deque()
        self._answers: dict[str, asyncio.Future[Node]] = {}
        self._query_ids = itertools.count(1)

    @property
    def settings(self) -> TagSettings:
        return self.world.settings(self.tag)

    # -- what happens -------------------------------------------------------------------------------------------------

    def log(self, kind: Kind, **detail: object) -> None:
        self.world.events.add(kind, tag=self.tag, phone=self.phone, connection=self.id, **detail)

    def strike(self, fault: Fault) -> Rule | None:
        """The rule by which `fault` strikes this connection now, or None."""
        rule = self.world.rules.take(fault, self.tag, self.phone)
        if rule is not None:
            self.log(Kind.FAULT_FIRED, fault=fault, rule=rule.id)
        return rule

    def strike_for(self, fault: Fault, other: str | None, *, device: int | None = None) -> Rule | None:
        """Like `strike`, for something that concerns the number `other` as well: the rule may name either."""
        for phone in dict.fromkeys((other, self.phone)):
            if phone is None and self.phone is not None:
                continue
            if (rule := self.world.rules.take(fault, self.tag, phone, device)) is not None:
                self.log(Kind.FAULT_FIRED, fault=fault, rule=rule.id)
                return rule
        return None

    async def passes(self, step: Step) -> bool:
        """True if this step's message may be sent. Cuts or waits first if a fault says so."""
        if (rule := self.strike(Fault(f"{step}-cut"))) is not None:
            await asyncio.sleep(rule.delay or 0)
            self.cut(f"{step}-cut")
            return False
        if self.strike(Fault(f"{step}-silence")) is not None:
            return False
        if (rule := self.strike(Fault(f"{step}-late"))) is not None:
            await asyncio.sleep(DEFAULT_DELAY if rule.delay is None else rule.delay)
        return True

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Runs `work` beside the reading; cancelled when the connection ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log(Kind.EMULATOR_FAILED, reason=repr(error))

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, node: Node) -> None:
        """Sends a stanza; nothing happens once the connection is over or muted."""
        if self._channel is None or self._muted or self._socket.closed:
            return
        self._send_frame(self._channel.seal(encode(node, self.world.words)))

    def _send_frame(self, data: bytes) -> None:
        frame = len(data).to_bytes(_FRAME_HEAD) + data
        if not self.settings.answer_delay and not self._on_the_way:
            self._socket.send(frame)
            return
        self._on_the_way.append(frame)
        asyncio.get_running_loop().call_later(self.settings.answer_delay, self._arrive)

    def _arrive(self) -> None:
        """The oldest frame under way gets there; they never overtake each other."""
        if self._on_the_way:
            self._socket.send(self._on_the_way.popleft())

    def answer(self, query: Node, *content: Node) -> None:
        """The result of an `iq` that the client sent."""
        attrs: dict[str, str | Jid] = {"from": SERVER_JID, "id": query.attr("id"), "type": "result"}
        self.send(Node("iq", attrs, content or None))

    def refuse(self, query: Node, status: int, text: str) -> None:
        """The error of an `iq` that the client sent."""
        error = Node("error", {"code": str(status), "text": text})
        self.send(Node("iq", {"from": SERVER_JID, "id": query.attr("id"), "type": "error"}, (error,)))

    async def query(self, content: Node) -> Node:
        """Sends an `iq set` of the namespace md and returns the client's answer (result or error)."""
        query_id = f"{self.id}.{next(self._query_ids)}"
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._answers[query_id] = answer
        attrs: dict[str, str | Jid] = {
            "from": SERVER_JID,
            "id": query_id,
            "type": "set",
            "xmlns": "md",
            "t": str(now_ms() // 1000),
        }
        self.send(Node("iq", attrs, (content,)))
        return await answer

    def notify(self, kind: str, *content: Node) -> None:
        """A notification from the server."""
        attrs: dict[str, str | Jid] = {"from": SERVER_JID, "id": f"{self.id}.{next(self._query_ids)}", "type": kind}
        self.send(Node("notification", {**attrs, "t": str(now_ms() // 1000)}, content))

    def mute(self) -> None:
        """From now on the client hears nothing, but the connection stays."""
        self._muted = True

    def cut(self, reason: str) -> None:
        """Resets the connection without a word."""
        self._end_reason = self._end_reason or f"cut: {reason}"
        self._socket.close(None)

    async def fail(self, node: Node, reason: str) -> None:
        """Sends a last stanza (failure or stream error), leaves the client time to read it, closes."""
        self._end_reason = self._end_reason or reason
        self.send(node)
        await asyncio.sleep(self.settings.goodbye_delay + self.settings.answer_delay)
        self._socket.close()

    def failure(self, status: int, **more: object) -> Node:
        """The stanza that refuses a client right after the handshake."""
        attrs = {"reason": str(status), "location": "emulator"} | {key: str(value) for key, value in more.items()}
        return Node("failure", attrs)

    # -- receiving ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serves the client until one side ends it. Raises nothing but cancellation."""
        self.world.connections[self.id] = self
        reason = ""
        try:
            await self._serve()
        except WebsocketClosed as closed:
            reason = str(closed)
        except (HandshakeRefused, MalformedStanza, BadPayload) as broken:
            reason = f"violation: {broken}"
            self.log(Kind.CLIENT_VIOLATION, reason=str(broken))
            if isinstance(broken, BadPayload):
                self.send(self.failure(400))
        finally:
            await self._leave(self._end_reason or reason or "emulator stopped")

    async def _leave(self, reason: str) -> None:
        self._socket.close()
        del self.world.connections[self.id]
        for ref in [ref for ref, offered in self.world.refs.items() if offered.connection is self]:
            del self.world.refs[ref]
        if self.linked is not None and self.world.online.get(self.linked.key) is self:
            del self.world.online[self.linked.key]
        self.log(Kind.CONNECTION_CLOSED, reason=reason, status=self.status)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _frame(self) -> bytes:
        if not self._greeted:
            await self._fill(len(PROLOGUE))
            if self._buffer.startswith(EDGE_MARK):  # the client comes back to the machine that edge_routing named
                await self._fill(EDGE_HEAD)
                skipped = EDGE_HEAD + int.from_bytes(self._buffer[len(EDGE_MARK) : EDGE_HEAD])
                await self._fill(skipped + len(PROLOGUE))
                self._buffer = self._buffer[skipped:]
            if not self._buffer.startswith(PROLOGUE):
                raise HandshakeRefused(f"the prologue is {self._buffer[:4].hex()}, not {PROLOGUE.hex()}")
            self._buffer, self._greeted = self._buffer[len(PROLOGUE) :], True
        await self._fill(_FRAME_HEAD)
        end = _FRAME_HEAD + int.from_bytes(self._buffer[:_FRAME_HEAD])
        await self._fill(end)
        frame, self._buffer = self._buffer[_FRAME_HEAD:end], self._buffer[end:]
        return frame

    async def _fill(self, size: int) -> None:
        """Reads until the buffer holds so many bytes."""
        while len(self._buffer) < size:
            self._buffer += await self._socket.receive()

    async def _serve(self) -> None:
        authority = self.world.state.authority
        stranger = KeyPair.generate() if self.strike(Fault.HANDSHAKE_BAD_CERTIFICATE) else None
        handshake = ServerHandshake(authority.static, authority.certificate(stranger))
        hello = handshake.answer(await self._frame())
        if await self.passes(Step.HANDSHAKE):
            self._send_frame(hello)
        greeted = handshake.finish(await self._frame())
        self._channel, self.client_static = greeted.channel, greeted.client_static
        claim = parse(greeted.payload)
        if isinstance(claim, Login):
            self.phone = claim.number
        if claim.revision < self.settings.minimum_revision:
            self.log(Kind.CLIENT_OUTDATED, revision=claim.revision, minimum=self.settings.minimum_revision)
            await self.fail(self.failure(405), f"refused: revision {claim.revision} is too old")
            return
        match claim:
            case Registration():
                self.registration, self.status = claim, Status.UNLINKED
                self.spawn(pairing_qr.begin(self, claim))
            case Login():
                self.status = Status.LOGIN
                self.spawn(self._log_in(claim))
        while True:
            node = decode(greeted.channel.open(await self._frame()), self.world.words)
            await self._dispatch(node)

    async def _log_in(self, claim: Login) -> None:
        """The login, then what the client sent meanwhile: it does not wait for `success` when it sends something again."""
        await login.begin(self, claim)
        while self.linked is not None and self._early:
            await queries.handle(self, self._early.pop(0))

    async def _dispatch(self, node: Node) -> None:
        if node.tag == "iq" and node.attr("type") in ("result", "error"):
            answer = self._answers.pop(node.attr("id"), None)
            if answer is None:
                self.log(Kind.CLIENT_VIOLATION, reason=f"an answer to nothing: {node}")
            elif not answer.done():
                answer.set_result(node)
                await asyncio.sleep(0)  # whoever waits goes first: the next frame may be the client's goodbye
        elif self.status is Status.LOGIN and (self.linked is None or self._early) and node.attr("xmlns") != "w:p":
            self._early.append(node)
        else:
            await queries.handle(self, node)
