"""Plays the rows of the scenario table: the owner at the socket, the phone at the emulator, and what comes of it.

A step is played by its name, and all steps share one stage: one file.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from tests.e2e.stack import Socket, Stack, new_number
from tests.scenarios import Play, Scenario
from tests.waiting import beside

STEP_SECONDS = 75.0
"""For one step of a row: the slowest of those that do not wait for the clock takes half of it on a loaded machine."""
CLOCK_SECONDS = 240.0
"""For a step that waits for the QRs to run out."""

_addresses = itertools.count(1)


@dataclass
class Outcome:
    """What came of a row."""

    session: str
    company: str
    phone: str
    states: list[str] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    hints: set[str] = field(default_factory=set)


class Actor:
    """One row on the stage. Its company, phone and address are its own."""

    def __init__(self, stack: Stack, scenario: Scenario) -> None:
        self.stack = stack
        self.scenario = scenario
        self.number = scenario.number or new_number().lstrip("+")
        self.phone = stack.emulator.phone(self.number)
        self.address = f"198.18.{next(_addresses) // 250}.{next(_addresses) % 250}"
        self.rules: list[int] = []
        self.link: dict[str, Any]
        self.socket: Socket
        self.outcome: Outcome
        self._news = asyncio.Condition()
        self._bodies: list[tuple[int, dict[str, Any]]] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        expected = {"phoneNumber": self.scenario.expected} if self.scenario.expected else {}
        self.link = await self.stack.link(**expected)
        self.outcome = Outcome(self.link["session"], self.link["company"], self.number)
        pubsub = self.stack.redis.pubsub(ignore_subscribe_messages=True)
        await pubsub.subscribe(f"wa:events:{self.link['session']}")
        await pubsub.get_message(timeout=5)
        self._open.push_async_callback(pubsub.aclose)
        await self._open.enter_async_context(beside(self._listen(pubsub)))
        self.socket = await self._open.enter_async_context(self.stack.socket(self.link, address=self.address))
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self.outcome.states and self.outcome.states[-1] in {"awaiting_phone", "connecting"}:
            came_to = self.outcome
            self.outcome = Outcome(
                came_to.session, came_to.company, came_to.phone
            )  # what follows is no part of the row
            await self.socket.send("cancel")
            await self.until(lambda body: body["state"] == "cancelled")
        await self._open.aclose()

    async def arm(self) -> None:
        """Let happen what the row says."""
        for arm in self.scenario.arms:
            rule = await self.stack.emulator.arm(
                arm.fault,
                tag=self.stack.tag if arm.tag else None,
                phone=None if arm.tag else self.number,
                times=arm.times,
                skip=arm.skip,
                delay=arm.delay,
                status=arm.status,
            )
            self.rules.append(rule)
        if self.scenario.settings:
            await self.stack.emulator.settings(self.stack.tag, **self.scenario.settings)

    async def play(self) -> Outcome:
        """Do what the row says, and wait for what must come of it."""
        await _PLAYS[self.scenario.play](self)
        wanted = [state for state in self.scenario.states.split() if state != "refused"]
        failure = self.scenario.failure.value if self.scenario.failure else None
        refused = self.scenario.ending == "refused"

        def done(_body: dict[str, Any]) -> bool:
            said = (self.outcome.body.get("failure") or {}).get("code")
            return len(self.outcome.states) >= len(wanted) and (refused or failure in {None, said})

        seconds = CLOCK_SECONDS if "expired" in wanted or self.scenario.play is Play.LOG_OUT_LATER else STEP_SECONDS
        if wanted:
            await self.until(done, seconds)
        return self.outcome

    async def _listen(self, pubsub: Any) -> None:
        async for message in pubsub.listen():
            news = orjson.loads(message["data"])
            body = news["body"]
            async with self._news:
                self._bodies.append((news["attempt"], body))
                self.outcome.body = body
                if body.get("hint"):
                    self.outcome.hints.add(body["hint"])
                if self.outcome.states[-1:] != [body["state"]]:
                    self.outcome.states.append(body["state"])
                self._news.notify_all()

    async def until(self, wanted: Callable[[dict[str, Any]], object], seconds: float = STEP_SECONDS) -> dict[str, Any]:
        """The newest body, as soon as it fits."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self._bodies and wanted(self._bodies[-1][1]))
        except TimeoutError:
            raise AssertionError(
                f"{self.scenario.name}: {self.outcome.states} {self.outcome.body.get('failure')}"
            ) from None
        return self._bodies[-1][1]

    async def qr(self, but: tuple[str, ...] = ()) -> str:
        """The text of the QR on screen, once it is none of those."""
        body = await self.until(lambda body: body.get("qr") and body["qr"]["text"] not in but)
        return str(body["qr"]["text"])

    async def ask(self) -> None:
        await self.socket.send("request-pairing-code", phoneNumber=f"+{self.number}")

    async def code(self) -> str:
        """The code on screen."""
        return str((await self.until(lambda body: body.get("code")))["code"]["text"])

    async def refused(self) -> None:
        """The next refused command is the row's outcome."""
        self.outcome.error = await self.socket.error()


async def _scan(actor: Actor) -> None:
    await actor.socket.send("request-qr")
    await actor.phone.scan(await actor.qr())


async def _scan_each(actor: Actor, times: int = 3) -> None:
    seen: tuple[str, ...] = ()
    await actor.socket.send("request-qr")
    for _ in range(times):
        seen = (*seen, await actor.qr(seen))
        await actor.phone.scan(seen[-1])


async def _scan_again(actor: Actor) -> None:
    await _scan(actor)
    await actor.phone.scan(await actor.qr())


async def _scan_next(actor: Actor) -> None:
    await _scan_each(actor, 2)


async def _type(actor: Actor) -> None:
    await actor.ask()
    await actor.phone.type_code(await actor.code())


def _wrong(code: str) -> str:
    return ("2" if code[0] == "1" else "1") + code[1:]


async def _type_wrong_first(actor: Actor) -> None:
    await actor.ask()
    code = await actor.code()
    assert await actor.phone.type_code(_wrong(code)) == "wrong-code"
    await actor.phone.type_code(code)


async def _wrong_then_old_qr(actor: Actor) -> None:
    await actor.ask()
    code, old = await actor.code(), await actor.qr()
    await actor.phone.type_code(_wrong(code))
    await actor.phone.scan(old)
    await actor.phone.scan(await actor.qr((old,)))


async def _ask(actor: Actor) -> None:
    await actor.ask()


async def _ask_twice(actor: Actor) -> None:
    await actor.ask()
    await actor.until(lambda body: body.get("failure"))
    await actor.ask()
    await actor.refused()


async def _ask_elsewhere(actor: Actor) -> None:
    await actor.ask()
    await actor.code()
    async with actor.stack.socket(await actor.stack.link()) as other:
        await other.send("request-pairing-code", phoneNumber=f"+{actor.number}")
        actor.outcome.error = await other.error()


async def _ask_linked(actor: Actor) -> None:
    await actor.stack.linked(f"+{actor.number}")
    await actor.ask()


async def _ask_nonsense(actor: Actor) -> None:
    await actor.socket.send("request-pairing-code", phoneNumber="8900")
    await actor.refused()


async def _ask_other(actor: Actor) -> None:
    await actor.ask()
    await actor.refused()


async def _ask_and_scan(actor: Actor) -> None:
    await actor.ask()
    await actor.until(lambda body: body.get("failure"))
    await actor.phone.scan(await actor.qr())


async def _look(actor: Actor) -> None:
    await actor.socket.send("request-qr")


async def _short_scan(actor: Actor) -> None:
    await _scan(actor)
    await actor.socket.send("cancel")


async def _cancel(actor: Actor) -> None:
    await actor.socket.send("request-qr")
    await actor.qr()
    await actor.socket.send("cancel")


async def _late(actor: Actor) -> None:
    await actor.socket.send("request-qr")
    await actor.phone.scan(await actor.qr((await actor.qr(),)))


async def _old_qr(actor: Actor) -> None:
    await actor.socket.send("request-qr")
    old = await actor.qr()
    refreshed = await actor.qr((old,))
    await actor.phone.scan(old)
    await actor.phone.scan(await actor.qr((old, refreshed)))


async def _log_out(actor: Actor) -> None:
    await _scan(actor)
    await actor.until(lambda body: body["state"] == "linked")
    await actor.phone.logout()


async def _log_out_later(actor: Actor) -> None:
    await _scan(actor)
    await actor.until(lambda body: body["state"] == "linked")
    await actor.stack.worker.said("session.logged-in", session=actor.outcome.session, seconds=STEP_SECONDS)
    async with asyncio.timeout(CLOCK_SECONDS), actor._news:
        # The dwell ends with a further announcement of the same state.
        await actor._news.wait_for(lambda: [body["state"] for _, body in actor._bodies].count("linked") > 1)
    await actor.phone.logout()


async def _api(actor: Actor) -> None:
    await _scan(actor)
    await actor.until(lambda body: body["state"] == "linked")
    answer = await actor.stack.http.delete(f"/api/v1/companies/{actor.outcome.company}/session")
    assert answer.status_code == 202
    await actor.until(lambda body: body["state"] == "unlinked")


async def _spent(actor: Actor) -> None:
    await _api(actor)
    await actor.socket.send("request-qr")
    await actor.refused()


async def _malformed(actor: Actor) -> None:
    await actor.socket.send("dance")
    await actor.refused()


_PLAYS: dict[Play, Callable[[Actor], Awaitable[None]]] = {
    Play.SCAN: _scan,
    Play.SCAN_EACH: _scan_each,
    Play.SCAN_AGAIN: _scan_again,
    Play.SCAN_NEXT: _scan_next,
    Play.TYPE: _type,
    Play.TYPE_WRONG_FIRST: _type_wrong_first,
    Play.WRONG_THEN_OLD_QR: _wrong_then_old_qr,
    Play.ASK: _ask,
    Play.ASK_TWICE: _ask_twice,
    Play.ASK_ELSEWHERE: _ask_elsewhere,
    Play.ASK_LINKED: _ask_linked,
    Play.ASK_NONSENSE: _ask_nonsense,
    Play.ASK_OTHER: _ask_other,
    Play.ASK_AND_SCAN: _ask_and_scan,
    Play.LOOK: _look,
    Play.SHORT_SCAN: _short_scan,
    Play.CANCEL: _cancel,
    Play.LATE: _late,
    Play.OLD_QR: _old_qr,
    Play.KEEP: _scan,
    Play.LOG_OUT: _log_out,
    Play.LOG_OUT_LATER: _log_out_later,
    Play.API: _api,
    Play.SPENT: _spent,
    Play.MALFORMED: _malformed,
}
