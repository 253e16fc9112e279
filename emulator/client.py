"""Steering an emulator from a test: start one, point processes at it, be the phone, arm faults, wait for events.

async with Emulator.start() as emulator:
    env = os.environ | emulator.client_env(tag="t1")
    ...                                                # a process with this environment shows a QR
    await emulator.phone("79001234567").scan(qr_text)
    await emulator.wait_for("device.connected", tag="t1")

It follows the control port call for call, hence one file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import httpx

from emulator.client_phone import Phone
from emulator.environment import client_env
from emulator.events import Kind
from emulator.faults import Fault

__all__ = ["Emulator", "EmulatorError", "Event", "Phone", "running"]

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 25.0


class EmulatorError(RuntimeError):
    """The emulator did not start, or refused a call; the text is its own."""


@dataclass(frozen=True, slots=True)
class Event:
    """See emulator.events."""

    id: int
    at: int
    kind: str
    tag: str
    phone: str | None
    connection: int | None
    detail: dict[str, Any] = field(default_factory=dict)


class Emulator:
    """A running emulator, seen through its control port. `known` are those of this process that were not stopped yet."""

    known: ClassVar[list[Emulator]] = []

    def __init__(self, ready: dict[str, Any], process: asyncio.subprocess.Process | None = None) -> None:
        self.proxy_port: int = ready["proxy_port"]
        self.control_port: int = ready["control_port"]
        self.ca_path: str = ready["ca_path"]
        self.root_key: str = ready["root_key"]
        self.life: float = ready["life"]
        self.seed: int = ready["seed"]
        Emulator.known.append(self)
        self._process = process
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.control_port}", timeout=httpx.Timeout(90.0), trust_env=False
        )

    # -- life ---------------------------------------------------------------------------------------------------------

    @staticmethod
    @contextlib.asynccontextmanager
    async def start(
        state_directory: Path | None = None,
        *,
        proxy_port: int = 0,
        control_port: int = 0,
        chaos: float = 0.0,
        life: float | None = None,
        seed: int | None = None,
    ) -> AsyncIterator[Emulator]:
        """An emulator in a process of its own, ended with the block. Without `state_directory` it forgets everything.
        `life` and `seed`: what happens by itself; without them at the usual rate, and from any seed."""
        emulator = await Emulator.launch(
            state_directory, proxy_port=proxy_port, control_port=control_port, chaos=chaos, life=life, seed=seed
        )
        try:
            yield emulator
        finally:
            await emulator.stop()

    @staticmethod
    async def launch(
        state_directory: Path | None = None,
        *,
        proxy_port: int = 0,
        control_port: int = 0,
        chaos: float = 0.0,
        life: float | None = None,
        seed: int | None = None,
    ) -> Emulator:
        """Like `start`, for those who stop it themselves."""
        arguments = [
            f"--proxy-port={proxy_port}",
            f"--control-port={control_port}",
            f"--chaos={chaos}",
            *([] if life is None else [f"--life={life}"]),
            *([] if seed is None else [f"--seed={seed}"]),
        ]
        if state_directory is not None:
            arguments.append(f"--state-dir={state_directory}")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "emulator",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        async with asyncio.timeout(_START_SECONDS):
            line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise EmulatorError(f"the emulator ended with {await process.wait()} before it was ready")
        return Emulator(json.loads(line), process)

    @staticmethod
    async def attach(control_port: int) -> Emulator:
        """An emulator that somebody else runs."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"http://127.0.0.1:{control_port}/healthz")
        return Emulator(answer.json())

    async def stop(self) -> None:
        """Ends the process (SIGTERM) if it is ours; safe to call twice."""
        await self._http.aclose()
        if self in Emulator.known:
            Emulator.known.remove(self)
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- use ----------------------------------------------------------------------------------------------------------

    def client_env(self, tag: str = "", *, python_path: str = "") -> dict[str, str]:
        """Environment for a process that shall talk to this emulator (see emulator.environment)."""
        return client_env(
            proxy_port=self.proxy_port, ca_path=self.ca_path, root_key=self.root_key, tag=tag, python_path=python_path
        )

    def phone(self, number: str) -> Phone:
        """The phone of this number: digits with country code."""
        return Phone(self, number.lstrip("+"))

    async def call(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """One call of the control port; EmulatorError with its words if it is refused."""
        wanted = {key: str(value) for key, value in query.items() if value is not None}
        answer = await self._http.request(method, path, json=body, params=wanted)
        if answer.status_code >= 400:
            raise EmulatorError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def arm(
        self,
        fault: Fault | str,
        *,
        tag: str | None = None,
        phone: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        delay: float | None = None,
        status: int | None = None,
        ban: int | None = None,
        expire: int | None = None,
        device: int | None = None,
        message: str | None = None,
        header: str | None = None,
        subtext: str | None = None,
    ) -> int:
        """Arms a fault (faults.py) for a tag, a phone, or everybody; returns the rule's id. `times=None`: until disarmed."""
        parameters: dict[str, object] = {
            "times": times,
            "skip": skip,
            "delay": delay,
            "status": status,
            "ban": ban,
            "expire": expire,
        }
        parameters |= {"device": device, "message": message, "header": header, "subtext": subtext}
        body = {"fault": str(fault), "tag": tag, "phone": phone, **parameters}
        return int((await self.call("POST", "/rules", body))["id"])

    async def disarm(self, rule: int | None = None, *, tag: str | None = None, phone: str | None = None) -> None:
        """Takes back one rule, or all of a tag or phone."""
        await (
            self.call("DELETE", f"/rules/{rule}")
            if rule is not None
            else self.call("DELETE", "/rules", tag=tag, phone=phone)
        )

    async def settings(self, tag: str, **settings: float) -> None:
        """Sets the knobs of a tag (settings.TagSettings); what is not named goes back to its default."""
        await self.call("PUT", f"/tags/{tag}/settings", settings)

    async def group(self, name: str, members: list[str], subject: str = "Group") -> str:
        """Makes (or changes) a group of these numbers, the first its maker; its address."""
        await self.call("PUT", f"/groups/{name}", {"members": [one.lstrip("+") for one in members], "subject": subject})
        return f"{name}@g.us"

    async def connections(self, tag: str | None = None) -> list[dict[str, Any]]:
        return list((await self.call("GET", "/connections", tag=tag))["connections"])

    async def cut(self, *, tag: str | None = None, phone: str | None = None) -> int:
        """Resets the connections of a tag or phone; how many there were."""
        return int((await self.call("POST", "/connections/cut", {"tag": tag, "phone": phone}))["cut"])

    async def messages(self, phone: str | None = None) -> list[dict[str, Any]]:
        """The messages that arrived, of this sender if given."""
        return list((await self.call("GET", "/messages", phone=phone))["messages"])

    async def events(self, after: int = 0, *, tag: str | None = None, phone: str | None = None) -> list[Event]:
        """Events so far."""
        answer = await self.call("GET", "/events", after=after, tag=tag, phone=phone)
        return [Event(**event) for event in answer["events"]]

    async def now(self) -> int:
        """The id of the newest event: give it to `wait_for` as `after` to see only what comes later."""
        return int((await self.call("GET", "/events"))["last"])

    async def wait_for(
        self,
        kind: Kind | str,
        *,
        after: int = 0,
        tag: str | None = None,
        phone: str | None = None,
        where: Callable[[Event], bool] = lambda _: True,
        seconds: float = 30.0,
    ) -> Event:
        """The first event above `after` that fits. TimeoutError with the last events if none comes within `seconds`."""
        cursor = after
        try:
            async with asyncio.timeout(seconds):
                while True:
                    answer = await self.call(
                        "GET", "/events", after=cursor, kind=str(kind), tag=tag, phone=phone, wait=_POLL_SECONDS
                    )
                    for raw in answer["events"]:
                        event = Event(**raw)
                        if where(event):
                            return event
                    cursor = answer["last"]
        except TimeoutError:
            seen = [f"{event.kind} {event.detail}" for event in await self.events(after, tag=tag)]
            raise TimeoutError(f"no {kind} within {seconds} s; seen: {seen[-20:]}") from None


@contextlib.asynccontextmanager
async def running(state_directory: Path) -> AsyncIterator[Emulator]:
    """An emulator in this very event loop, in which nothing happens by itself: for tests of the emulator; others use `Emulator.start`."""
    from dataclasses import asdict

    from emulator.listen import Options, serving

    async with serving(Options(state_directory, life=0)) as ready, Emulator(asdict(ready)) as emulator:
        yield emulator
