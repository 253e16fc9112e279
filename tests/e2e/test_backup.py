"""A backup taken while everything runs, and what comes back of it: into files and into Postgres, fresh and stale."""

import asyncio
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest

from app.local import redis as local_redis
from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

ROOT = Path(__file__).parents[2]
IDENTITY = pyrage.x25519.Identity.generate()
SECRET, PUBLIC = str(IDENTITY), str(IDENTITY.to_public())


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="kept-"))
    yield path
    shutil.rmtree(path)


async def command(stack: Stack, *words: str, key: str = SECRET, **more: str) -> tuple[int | None, str]:
    """`onboarding …` beside the service."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *words),
        cwd=ROOT,
        env=os.environ | stack.environment | {"BACKUP_KEY": key} | more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert b"Traceback" not in out, out.decode()
    assert SECRET.encode() not in out
    return process.returncode, out.decode()


async def lose_all(stack: Stack, folder: Path) -> None:
    """The device store is gone, and Redis with it."""
    await stack.worker.stop()
    await stack.redis.flushall()
    if "DATABASE_URL" in stack.environment:
        import asyncpg

        connection = await asyncpg.connect(stack.environment["DATABASE_URL"])
        await connection.execute("DELETE FROM wa_devices; DELETE FROM whatsmeow_device; DELETE FROM whatsmeow_lid_map")
        await connection.close()
    else:
        shutil.rmtree(folder / "devices")
        for file in folder.glob("registry*"):
            file.unlink()


def verdicts(said: str) -> dict[str, str]:
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {line["company"]: line["verdict"] for line in lines}


async def text(stack: Stack, company: str, to: str, words: str) -> None:
    """A text of the company arrives."""
    answer = await stack.http.post(f"/api/v1/companies/{company}/messages", json={"to": to, "text": words})
    assert answer.status_code == 202, answer.text
    # Of this service: another one of this process has sent the same words.
    await stack.emulator.wait_for(
        "message.received", tag=stack.tag, where=lambda event: event.detail.get("text") == words
    )


async def resent(stack: Stack) -> int:
    return len([event for event in await stack.emulator.events(tag=stack.tag) if event.kind == "message.resent"])


async def uploads(stack: Stack) -> int:
    return len([event for event in await stack.emulator.events(tag=stack.tag) if event.kind == "prekeys.uploaded"])


async def receipts(stack: Stack, message: str) -> list[str]:
    """What the device has said of a message, in its order."""
    events = [event for event in await stack.emulator.events(tag=stack.tag) if event.kind == "receipt.received"]
    return [str(event.detail["type"]) for event in events if event.detail["message_id"] == message]


async def test_first_messages_after_prekeys_that_were_lost(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, place: Path
) -> None:
    """Prekeys were used up and uploaded anew after the backup: the line of the table of docs/deploy.md."""
    async with Stack.running(emulator, own_redis.url, folder, quiet=True) as stack:
        link, number = await stack.linked(company="fresh")
        await stack.worker.said("session.logged-in", session=link["session"])
        assert (await command(stack, "backup", str(place / "a.age"), key=PUBLIC))[0] == 0
        before = await uploads(stack)
        await emulator.phone(number).live("prekeys-low")  # three are left, which the backup has
        await until(lambda: more_uploads(stack, before))
        await lose_all(stack, folder)
        _, said = await command(stack, "restore", str(place / "a.age"), "--json")
        assert verdicts(said) == {"fresh": "restored"}
        await stack.start_worker()
        await stack.worker.said("session.logged-in", session=link["session"])
        first = []
        for _ in range(5):
            message = await emulator.phone(new_number()).say(number, "hello")
            await until(lambda message=message: is_read(stack, message))
            first.append((await receipts(stack, message))[0])
        assert first == [*["inactive"] * 3, *["retry"] * 2]  # a device that is not shown says that a message has come


async def more_uploads(stack: Stack, before: int) -> bool:
    return await uploads(stack) > before


async def is_read(stack: Stack, message: str) -> bool:
    return any(one != "retry" for one in await receipts(stack, message))


async def test_what_is_lost_comes_back_and_what_a_stale_restore_breaks(own: Stack, folder: Path, place: Path) -> None:
    """The table of docs/deploy.md, line by line."""
    contact = new_number()
    still, _ = await own.linked(company="still")
    talked, talked_phone = await own.linked(company="talked")
    left, left_phone = await own.linked(company="left")
    for link in (still, talked, left):
        await own.worker.said("session.logged-in", session=link["session"])
    await text(own, "talked", contact, "before")
    hook = {"url": "https://hooks.example/x", "secret": "whsec_" + "YmFja3VwIHRlc3Qgc2VjcmV0IG9mIGEgY29tcGFueQ=="}
    assert (await own.http.put("/api/v1/companies/still/webhook", json=hook)).is_success

    file = place / "devices.age"
    code, said = await command(own, "backup", str(file), key=PUBLIC)
    assert (code, "3 devices" in said) == (0, True), said
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(place.iterdir()) == [file]
    assert left_phone[1:].encode() not in file.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(file.read_bytes(), [IDENTITY])), mode="r:gz") as clear:
        parts = {one.name for one in clear}
    assert parts == {"backup.json", *(f"devices/{one}.sqlite3" for one in ("left", "still", "talked"))}
    code, said = await command(own, "backup", str(file), key=PUBLIC)
    assert (code, "is there already" in said) == (3, True)

    # The living store is not touched.
    code, said = await command(own, "restore", str(file), "--json")
    assert verdicts(said) == dict.fromkeys(("still", "talked", "left"), "there")
    code, said = await command(own, "restore", str(file), key=PUBLIC)
    assert (code, "only makes backups" in said) == (3, True)
    code, said = await command(own, "restore", str(file), key=str(pyrage.x25519.Identity.generate()))
    assert (code, "does not open this file" in said) == (3, True)

    # Time goes on, and then all is lost.
    await text(own, "talked", contact, "after")
    await own.emulator.phone(contact).say(talked_phone[1:], "an answer")
    await own.emulator.phone(left_phone).logout()
    await own.worker.said("session.ended", session=left["session"])
    await lose_all(own, folder)

    code, said = await command(own, "restore", str(file), "--dry-run", "--json")
    assert (code, set(verdicts(said).values())) == (0, {"could_be"})
    assert "The keys are 0 h" in said
    code, said = await command(own, "restore", str(file), "--json")
    assert (code, set(verdicts(said).values())) == (0, {"restored"}), said
    assert await own.redis.hget(keys.receiver(still["session"]), "url") == hook["url"].encode()

    await own.start_worker()
    await own.worker.said("session.logged-in", session=still["session"])
    await own.worker.said("session.logged-in", session=talked["session"])
    before = await resent(own)
    await text(own, "still", contact, "nothing was lost")
    assert await resent(own) == before
    await text(own, "talked", contact, "behind, and read after a retry")
    await own.worker.said("session.ended", session=left["session"])
    await until(lambda: is_in(own, left, {"unlinked", "failed"}))
    code, said = await command(own, "restore", str(file), "--json", "--only", "left")
    assert verdicts(said) == {"left": "restored"}, "linked no more; the next login says so again"


async def is_in(stack: Stack, link: dict[str, Any], states: set[str]) -> bool:
    return (await stack.company(link))["state"] in states


async def test_the_same_keys_in_two_places_end_parked_and_not_in_a_fight(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, place: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as live:
        link, _ = await live.linked(company="aurora")
        await live.worker.said("session.logged-in", session=link["session"])
        await command(live, "backup", str(place / "a.age"))
        with local_redis.running(place / "redis") as other:
            async with Stack.running(emulator, other.url, place / "data", workers=0) as copy:
                copy.environment |= {name: live.environment[name] for name in emulator.client_env(tag=live.tag)}
                code, said = await command(copy, "restore", str(place / "a.age"), "--json")
                assert (code, verdicts(said)) == (0, {"aurora": "restored"})
                await copy.start_worker()
                await copy.worker.said("session.logged-in", session=link["session"])
                # Ours tries once more after a while; until then, and for good after that, nothing fights.
                await live.worker.said("session.ended", session=link["session"], seconds=30)
                assert (await live.company(link))["state"] in {"reconnecting", "unlinked", "failed"}
