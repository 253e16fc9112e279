"""Many linked companies on a few workers, seen from WhatsApp."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.processes import Service
from tests.e2e.stack import Stack

AT_ONCE = 6


@dataclass
class Fleet:
    """The companies of a stack: their links and the numbers of their phones."""

    stack: Stack
    links: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)

    async def link(self, companies: int) -> None:
        """Link so many companies, some at a time."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with places:
                link, number = await self.stack.linked()
                self.links.append(link)
                self.numbers.append(number.lstrip("+"))

        await asyncio.gather(*(one() for _ in range(companies)))
        await self.all_logged_in(after=0)

    async def resume(self, *below: str) -> Service:
        """Have all held by a fresh worker, maybe `below` another command: nobody is fresh, and no process is worn."""
        before = await self.stack.emulator.now()
        await self.stack.resume(*below)
        await self.all_logged_in(before)
        return self.stack.worker

    async def all_logged_in(self, after: int, *, revision: int | None = None, seconds: float = 60.0) -> float:
        """Wait until each phone's device has logged in since the event `after`, with this revision if one is given; the
        seconds that it took."""
        began, missing, cursor = time.monotonic(), set(self.numbers), after
        try:
            async with asyncio.timeout(seconds):
                while missing:
                    answer = await self.stack.emulator.call(
                        "GET",
                        "/events",
                        after=cursor,
                        kind="device.connected" if revision is None else "device.logged-in",
                        tag=self.stack.tag,
                        wait=5,
                    )
                    cursor = answer["last"]
                    missing -= {
                        event["phone"]
                        for event in answer["events"]
                        if revision is None or event["detail"]["revision"] == revision
                    }
        except TimeoutError:
            raise AssertionError(
                f"{len(missing)} of {len(self.numbers)} are still away:\n{self.stack.trouble()}"
            ) from None
        return time.monotonic() - began

    async def refusals(self, after: int) -> Counter[str]:
        """How often each phone's device was refused as outdated since the event `after`."""
        events = await self.stack.emulator.events(after, tag=self.stack.tag)
        return Counter(event.phone for event in events if event.kind == "client.outdated" and event.phone)

    async def send_each(self, text: str) -> None:
        """Ask for a text of each company; they need not be online."""

        async def one(link: dict[str, Any]) -> None:
            answer = await self.stack.http.post(
                f"/api/v1/companies/{link['company']}/messages", json={"to": "+79990000002", "text": text}
            )
            assert answer.status_code == 202, answer.text

        await asyncio.gather(*(one(link) for link in self.links))

    async def has_arrived(self, text: str, seconds: float = 60.0) -> None:
        """Wait until the text of each company has arrived, once."""
        async with asyncio.timeout(seconds):
            while True:
                seen = Counter(one["phone"] for one in await self.stack.emulator.messages() if one["text"] == text)
                ours = {number: seen[number] for number in self.numbers}
                assert max(ours.values()) <= 1
                if all(ours.values()):
                    return
                await asyncio.sleep(0.2)

    async def states(self) -> Counter[str]:
        """How many companies are in which state, with the failure if there is one."""
        bodies = await asyncio.gather(*(self.stack.company(link) for link in self.links))
        return Counter(f"{body['state']} {(body.get('failure') or {}).get('code', '')}".strip() for body in bodies)
