"""A company that is forgotten leaves nothing but the line of the audit: in Redis, in files, in logs."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

COMPANY, OTHER = "canary-salon", "canary-salon.2"
NAME, TEXT, SECRET = "Canary Aurora", "canary: you are booked", "whsec_Y2FuYXJ5IHNlY3JldCBvZiBhIGNvbXBhbnk="
RECEIVER = "https://hooks.example/canary-hook"


@pytest_asyncio.fixture(loop_scope="session")
async def own(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> AsyncIterator[Stack]:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        yield stack


async def everything(stack: Stack) -> dict[str, bytes]:
    """All that Redis holds, by its names."""
    found = {}
    for name in await stack.redis.keys("*"):
        kind = (await stack.redis.type(name)).decode()
        value = {
            "string": stack.redis.get,
            "hash": stack.redis.hgetall,
            "list": lambda n: stack.redis.lrange(n, 0, -1),
            "set": stack.redis.smembers,
            "zset": lambda n: stack.redis.zrange(n, 0, -1),
            "stream": stack.redis.xrange,
        }[kind](name)
        found[name.decode()] = name + b" " + repr(await value).encode()
    return found


def found_in(what: dict[str, bytes], canaries: list[str]) -> set[str]:
    """Where one of these stands as a word of its own."""
    wanted = [re.compile(rb"(?<![\w.-])" + re.escape(one.encode()) + rb"(?![\w-]|\.\d)") for one in canaries]
    return {name for name, value in what.items() if any(one.search(value) for one in wanted)}


def files(folder: Path) -> dict[str, bytes]:
    return {str(one): str(one).encode() + one.read_bytes() for one in folder.rglob("*") if one.is_file()}


async def test_nothing_but_the_line_of_the_audit_stays(own: Stack, folder: Path) -> None:
    receivers = {COMPANY: new_number(), OTHER: new_number()}
    to = receivers[COMPANY]
    link, number = await own.linked(company=COMPANY)
    kept, kept_number = await own.linked(company=OTHER)
    for company in (COMPANY, OTHER):
        receiver = {"url": RECEIVER, "secret": SECRET}
        answer = await own.http.put(f"/api/v1/companies/{company}/webhook", json=receiver)
        assert answer.is_success, answer.text
        await own.worker.said("session.logged-in", session=f"company_{company}")
        said = {"to": receivers[company], "text": TEXT}
        sent = await own.http.post(f"/api/v1/companies/{company}/messages", json=said)
        assert sent.status_code == 202
        await until(lambda c=company, s=sent: left(own, c, s.json()["id"]))
    unused = await own.link(COMPANY, companyName=NAME)
    canaries = [f"company_{COMPANY}", COMPANY, NAME, TEXT, number[1:]]
    assert len(found_in(await everything(own), canaries)) > 8, "there is something to forget"
    assert found_in(files(folder), [number[1:]])

    assert not [str(one) for one in folder.rglob("*") if one.stat().st_mode & 0o077], "all is its user's alone"

    assert (await own.http.delete(f"/api/v1/companies/{COMPANY}")).status_code == 202
    await own.worker.said("company.forgotten", session=f"company_{COMPANY}")
    await until(lambda: nothing_wished(own))

    everywhere = await everything(own)
    left_over = found_in(everywhere, canaries)
    assert left_over == {keys.OPERATORS}, {name: everywhere[name] for name in left_over}
    entries = [
        entry for _, entry in await own.redis.xrange(keys.OPERATORS) if f"company_{COMPANY}".encode() in entry.values()
    ]
    assert [(one[b"event"], one[b"by"]) for one in entries] == [(b"company.forgotten", b"api:key-1")]
    assert not found_in(files(folder), [*canaries, to[1:]])
    for service in (own.web, own.worker):
        logged = json.dumps(list(service.lines), ensure_ascii=False)
        assert not [one for one in (NAME, TEXT, number[1:], to[1:], SECRET, link["token"]) if one in logged]
    # Its links are dead, and its neighbour, whose name begins like its own, has lost nothing.
    assert (await own.http.get(f"/api/v1/links/{unused['id']}")).status_code == 404
    assert await own.redis.get(keys.link(unused["id"])) == b"revoked"
    assert (await own.company(kept))["state"] == "linked"
    assert (await own.http.get(f"/api/v1/companies/{OTHER}/webhook")).status_code == 200
    assert found_in(files(folder), [kept_number[1:]])
    again = await own.company(link)
    assert again["state"] == "unlinked"
    assert again["attempt"] == 0


async def left(stack: Stack, company: str, message: str) -> bool:
    answer = await stack.http.get(f"/api/v1/companies/{company}/messages/{message}")
    return answer.json()["state"] in {"sent", "delivered", "read"}


async def nothing_wished(stack: Stack) -> bool:
    return not await stack.redis.exists(keys.FORGETTING)
