"""Companies (MOVING: how many) that real Baileys linked and talked with move in one evening; each odd one is told apart."""

import asyncio
import json
import os
import shutil
import signal
from collections import Counter

import pytest

from tests.moving.conftest import group_of, started_beside
from tests.moving.test_moving_in import WORDS, outcomes, text, verdicts
from tests.waiting import until

COMPANIES = int(os.environ.get("MOVING", "8"))
NAMES = [f"salon-{number:02}" for number in range(COMPANIES)]
NUMBERS = {name: f"7902555{number:04}" for number, name in enumerate(NAMES)}
STALE, ANEW, DAMAGED, HALF = NAMES[:4]

pytestmark = pytest.mark.timeout(400)


async def killed_in_the_middle(start, top):
    """An import that dies after its second device; what it had told."""
    process = await start("import", str(top), *WORDS)
    told: list[dict] = []
    while len(outcomes(told)) < 2:
        told.append(json.loads(await process.stdout.readline()))
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    return told


async def heard(emulator, said, *, at_once):
    """The device can read the message; `at_once`: without asking for it again."""

    def is_answer(event):
        return event.detail["message_id"] == said and (at_once or event.detail["type"] != "retry")

    receipt = await emulator.wait_for("receipt.received", where=is_answer)
    assert receipt.detail["type"] != "retry", receipt


async def is_heard(emulator, contact, name):
    number, at_once = NUMBERS[name], name != STALE
    await heard(emulator, await contact.say(number, "and from me"), at_once=at_once)
    await heard(emulator, await contact.say(f"{group_of(number)}@g.us", "to all again"), at_once=True)


async def test_a_fleet_moves_in(stack, emulator, old, command):
    async def at_the_end(clients):
        # One is copied while the old client runs on; one is unlinked on the phone, and linked anew elsewhere.
        shutil.copytree(old.top / STALE, old.top.parent / "copy")
        for words in ("second", "third"):
            await old.talks(clients[STALE], NUMBERS[STALE], words)
        phone = emulator.phone(NUMBERS[ANEW])
        await phone.logout()
        await clients[ANEW].until("close")

    phones = await old.links_all(NUMBERS, before_the_end=at_the_end)
    shutil.rmtree(old.top / STALE)
    shutil.copytree(old.top.parent / "copy", old.top / STALE)
    old.rest(STALE)
    anew = old.top.parent / "anew"
    await old.links_elsewhere(anew, NUMBERS[ANEW])
    for file in (old.top / DAMAGED / "creds.json", *(old.top / HALF).glob("session-*.json")):
        whole = file.read_text()
        file.write_text(whole[: len(whole) // 2])
    old.rest(HALF)
    before = {name: [(one["id"], one["linked_at"]) for one in await phone.devices()] for name, phone in phones.items()}

    await stack.start_worker()
    first = await killed_in_the_middle(started_beside(stack), old.top)
    assert verdicts(first)[DAMAGED] == "refused"
    code, lines, said = await command("import", str(old.top), *WORDS)
    assert code == 1, said
    there = {name for name, verdict in verdicts(lines).items() if verdict == "there"}
    assert set(outcomes(first)) - {ANEW} <= there
    told = outcomes(first) | outcomes(lines) | dict.fromkeys(there, "held")
    assert Counter(told.values()) == {"held": COMPANIES - 2, "logged-out": 1}, told
    assert told[ANEW] == "logged-out"
    assert "damaged files" in next(line["remarks"] for line in first if line["name"] == HALF and "remarks" in line)
    held = [name for name in NAMES if told.get(name) == "held"]
    now = {name: [(one["id"], one["linked_at"]) for one in await phone.devices()] for name, phone in phones.items()}
    assert now == before

    code, lines, _ = await command("import", str(old.top), *[f"--only={name}" for name in held], *WORDS)
    assert (code, set(verdicts(lines).values()), outcomes(lines)) == (0, {"there"}, {})

    began = await emulator.now()
    await asyncio.gather(*(text(stack, name, emulator, f"{name} from the new house") for name in held))
    await asyncio.gather(*(is_heard(emulator, old.contact, name) for name in held))
    after = await emulator.events(began)
    # Its contact's session had gone on elsewhere: texts took two rounds. A session that is lost is begun anew, in one.
    again = {event.phone for event in after if event.kind in {"message.resent", "message.sent-again"}}
    assert again == {NUMBERS[STALE]}
    assert [event for event in after if event.kind == "client.violation"] == []

    for name in held:
        assert (await stack.http.delete(f"/api/v1/companies/{name}/session")).status_code == 202

    async def all_logged_out():
        return not [name for name in held if await phones[name].devices()]

    await until(all_logged_out)
