"""A company that is forgotten leaves nothing but the line of the audit: in Redis, in every table of Postgres, in files, in logs."""

import asyncio
import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.core import keys
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

ROOT = Path(__file__).parents[2]
BY_API, BY_COMMAND, OTHER = "canary-salon", "canary-studio", "canary-salon.2"
COMPANIES = (BY_API, BY_COMMAND, OTHER)
NAME, TEXT, REPLY = "Canary Aurora", "canary: you are booked", "canary: thank you"
SECRET, RECEIVER = "whsec_Y2FuYXJ5IHNlY3JldCBvZiBhIGNvbXBhbnk=", "https://hooks.example/canary-hook"


async def everything(stack: Stack) -> dict[str, bytes]:
    """All that Redis holds, by its names, and each table of Postgres. What goes meanwhile is not there."""
    found = {}
    readers: dict[str, Any] = {
        "string": stack.redis.get,
        "hash": stack.redis.hgetall,
        "list": lambda n: stack.redis.lrange(n, 0, -1),
        "set": stack.redis.smembers,
        "zset": lambda n: stack.redis.zrange(n, 0, -1),
        "stream": stack.redis.xrange,
    }
    for name in await stack.redis.keys("*"):
        kind = (await stack.redis.type(name)).decode()
        if kind != "none":
            found[name.decode()] = name + b" " + repr(await readers[kind](name)).encode()
    if "DATABASE_URL" in stack.environment:
        connection = await asyncpg.connect(stack.environment["DATABASE_URL"])
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        for (table,) in await connection.fetch(tables):
            rows = await connection.fetch(f'SELECT t::text FROM "{table}" t')
            found[table] = "\n".join(row for (row,) in rows).encode()
        await connection.close()
    return found


def found_in(what: dict[str, bytes], canaries: list[str]) -> set[str]:
    """Where one of these stands as a word of its own."""
    wanted = [re.compile(rb"(?<![\w.-])" + re.escape(one.encode()) + rb"(?![\w-]|\.\d)") for one in canaries]
    return {name for name, value in what.items() if any(one.search(value) for one in wanted)}


def paths(folder: Path) -> list[Path]:
    """All files and folders below; a log of SQLite's may go while they are listed."""
    return [Path(top) / name for top, folders, names in os.walk(folder) for name in (*folders, *names)]


def files(folder: Path) -> dict[str, bytes]:
    found = {}
    for one in paths(folder):
        with contextlib.suppress(FileNotFoundError):
            if one.is_file():  # no folder, no socket
                found[str(one)] = str(one).encode() + one.read_bytes()
    return found


def open_to_others(folder: Path) -> list[str]:
    found = []
    for one in paths(folder):
        with contextlib.suppress(FileNotFoundError):
            if one.stat().st_mode & 0o077:
                found.append(str(one))
    return found


async def lives(stack: Stack, company: str, to: str) -> tuple[str, list[str]]:
    """The company links, is written to, writes, looks somebody up, and has a receiver that takes nothing; its number, and
    words by which it is known."""
    session = f"company_{company}"
    receiver = {"url": RECEIVER, "secret": SECRET, "events": ["message.received", "message.sent", "session.verified"]}
    answer = await stack.http.put(f"/api/v1/companies/{company}/webhook", json=receiver)
    assert answer.is_success, answer.text
    _, number = await stack.linked(company=company)
    await stack.worker.said("session.logged-in", session=session)
    said = {"to": to, "text": TEXT}
    once = {"idempotency-key": f"canary-{company}"}
    sent = await stack.http.post(f"/api/v1/companies/{company}/messages", json=said, headers=once)
    assert sent.status_code == 202
    await until(lambda: left(stack, company, sent.json()["id"]))
    assert (await stack.http.get(f"/api/v1/companies/{company}/contacts/{to}")).json()["exists"]
    assert (await stack.http.get(f"/api/v1/companies/{company}")).json()["device"]["phone"] == number
    contact = f"Canary Contact of {company}"
    await stack.emulator.phone(to).change(name=contact)
    await stack.emulator.phone(to).say(number, REPLY)
    await until(lambda: has(stack, keys.inbox(session)))  # type: ignore[arg-type]
    await stack.link(company, companyName=NAME)
    return number, [session, company, number[1:], to[1:], contact]


async def left(stack: Stack, company: str, message: str) -> bool:
    answer = await stack.http.get(f"/api/v1/companies/{company}/messages/{message}")
    return answer.json()["state"] in {"sent", "delivered", "read"}


async def has(stack: Stack, name: str) -> bool:
    return bool(await stack.redis.exists(name))


async def by_command(stack: Stack, company: str) -> None:
    command = (sys.executable, "-m", "app.cli", "forget", company, "--yes")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | stack.environment)
    assert await process.wait() == 0


async def test_nothing_but_the_line_of_the_audit_stays(own: Stack, folder: Path) -> None:
    contacts = {company: new_number() for company in COMPANIES}
    known = {company: await lives(own, company, contacts[company]) for company in COMPANIES}
    unused = await own.link(BY_API, companyName=NAME)
    for company in (BY_API, BY_COMMAND):
        there = await everything(own)
        found = found_in(there, known[company][1])
        assert len(found) > 12, "there is something to forget"
        if "DATABASE_URL" in own.environment:
            tables = {name for name in found if not name.startswith(("wa:", "arq:"))}
            assert {"wa_devices", "whatsmeow_device", "whatsmeow_pre_keys", "whatsmeow_contacts"} <= tables
        else:
            assert found_in(files(folder), known[company][1])
    assert open_to_others(folder) == [], "all is its user's alone"

    assert (await own.http.delete(f"/api/v1/companies/{BY_API}")).status_code == 202
    await by_command(own, BY_COMMAND)
    for company in (BY_API, BY_COMMAND):
        await own.worker.said("company.forgotten", session=f"company_{company}")
    await until(lambda: nothing_wished(own))

    gone = [word for company in (BY_API, BY_COMMAND) for word in known[company][1]]
    there = await everything(own)
    left_over = found_in(there, gone)
    assert left_over == {keys.OPERATORS}, {name: there[name] for name in left_over}
    entries = [entry for _, entry in await own.redis.xrange(keys.OPERATORS) if entry[b"what"].decode() in gone]
    assert {one[b"event"] for one in entries} == {b"company.forgotten"}
    by = {one[b"what"].decode().removeprefix("company_"): one[b"by"] for one in entries}
    assert (by[BY_API], set(by)) == (b"api:key-1", {BY_API, BY_COMMAND})
    assert not found_in(files(folder), gone)
    secrets = [NAME, TEXT, REPLY, SECRET, unused["token"]]
    secrets += [number[1:] for company in COMPANIES for number in (known[company][0], contacts[company])]
    for service in (own.web, own.worker):
        logged = json.dumps(list(service.lines), ensure_ascii=False)
        assert not [one for one in secrets if one in logged]
    # WhatsApp knows the devices no more, their links are dead, and the neighbour, whose name begins like theirs, has all.
    for company in (BY_API, BY_COMMAND):
        assert await own.emulator.phone(known[company][0]).devices() == []
    assert (await own.http.get(f"/api/v1/links/{unused['id']}")).status_code == 404
    assert await own.redis.get(keys.link(unused["id"])) == b"revoked"
    assert (await own.http.get(f"/api/v1/companies/{OTHER}")).json()["state"] == "linked"
    assert (await own.http.get(f"/api/v1/companies/{OTHER}/webhook")).status_code == 200
    assert len(found_in(there, known[OTHER][1])) > 12
    assert len(await own.emulator.phone(known[OTHER][0]).devices()) == 1
    again = (await own.http.get(f"/api/v1/companies/{BY_API}")).json()
    assert (again["state"], again["attempt"]) == ("unlinked", 0)


async def nothing_wished(stack: Stack) -> bool:
    return not await stack.redis.exists(keys.FORGETTING)
