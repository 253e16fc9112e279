"""Two whole stacks on one Redis server, with the same company: neither sees, hears or serves anything of the other."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.e2e.stack import Stack
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

COMPANY = "aurora"


async def _names(url: str, database: int) -> set[str]:
    async with Redis.from_url(url.removesuffix("/0") + f"/{database}") as redis:
        return {one.decode() for one in await redis.keys("*")}


@pytest.mark.parametrize(
    ("database", "begin", "word"),
    [(1, "db1:", ""), (0, "staging:", "staging")],
    ids=["two databases", "one database"],
)
async def test_neighbours_share_a_redis_and_nothing_else(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, database: int, begin: str, word: str
) -> None:
    url = own_redis.url.removesuffix("/0") + f"/{database}"
    async with (
        Stack.running(emulator, own_redis.url, folder / "one") as one,
        Stack.running(emulator, url, folder / "two", NAMESPACE=word) as two,
    ):
        first, second = await one.link(company=COMPANY), await two.link(company=COMPANY)
        async with one.socket(first) as here, two.socket(second) as there:
            await here.send("request-qr")
            shown = await here.snapshot(lambda snapshot: snapshot.get("qr"))
            assert (await one.http.get(f"/api/v1/companies/{COMPANY}")).json()["state"] == "awaiting_phone"
            assert (await two.http.get(f"/api/v1/companies/{COMPANY}")).json()["state"] == "unlinked"
            await there.send("request-qr")
            own = await there.snapshot(lambda snapshot: snapshot.get("qr"))
            assert own["qr"]["text"] != shown["qr"]["text"]
            codes = {m["snapshot"]["qr"]["text"] for m in there.seen if m.get("snapshot", {}).get("qr")}
            assert shown["qr"]["text"] not in codes
            await there.send("cancel")
            await there.state("cancelled")
            assert (await one.http.get(f"/api/v1/companies/{COMPANY}")).json()["state"] == "awaiting_phone"
        link, _ = await two.linked(company="birch")
        await two.worker.said("session.logged-in", session=link["session"])
        assert (await one.http.get("/api/v1/companies/birch")).json()["state"] == "unlinked"
        await two.redis.publish(f"{begin}wa:switch", "look")

        wanted = {f"{begin}wa:workers", f"{begin}wa:stats"}

        async def seen_apart() -> bool:
            found = await _names(own_redis.url, 0)
            return any(name.startswith("wa:workers") for name in found) and wanted <= await _names(
                own_redis.url, database
            )

        await until(seen_apart)
        names = await _names(own_redis.url, database)
        theirs = {name for name in names if name.startswith(begin)}
        assert wanted <= theirs
        if database:
            assert theirs == names, "every name begins with it"
        living = await asyncio.gather(*(stack.http.get("/readyz") for stack in (one, two)))
        assert [answer.status_code for answer in living] == [200, 200]
