"""Companies that another client linked come over without a scan, and may go back."""

import shutil

from tests.moving.conftest import CONTACT
from tests.waiting import until

WORDS = ("--yes-stopped", "--batch", "6000", "--stay", "0", "--json")
AURORA, LOTUS, IRIS = "79021110001", "79021110002", "79021110003"


def outcomes(lines):
    return {line["name"]: line["outcome"] for line in lines if "outcome" in line}


def verdicts(lines):
    return {line["name"]: line["verdict"] for line in lines if "verdict" in line}


async def text(stack, company, emulator, words):
    """A text of a company arrives at the contact."""
    answer = await stack.http.post(f"/api/v1/companies/{company}/messages", json={"to": f"+{CONTACT}", "text": words})
    assert answer.status_code == 202, answer.text
    await emulator.wait_for("message.received", where=lambda event: event.detail.get("text") == words)


async def test_an_evening_of_moving_in(stack, emulator, old, command):
    phones = [await old.links(name, number) for name, number in (("aurora", AURORA), ("lotus", LOTUS), ("iris", IRIS))]
    before = [[(device["id"], device["linked_at"]) for device in await phone.devices()] for phone in phones]
    creds = (old.top / "iris" / "creds.json").read_text()
    (old.top / "iris" / "creds.json").write_text(creds[: len(creds) // 2])
    shutil.copytree(old.top / "lotus", old.top / "lotus-backup")
    old.rest("lotus-backup", 90_000)

    code, lines, _ = await command("import", str(old.top), "--dry-run", "--json")
    assert verdicts(lines) == {"aurora": "take", "iris": "refused", "lotus": "take", "lotus-backup": "refused"}
    assert AURORA not in str(lines)
    assert code == 1
    assert (await stack.http.get("/api/v1/companies/aurora")).json()["state"] != "linked"

    await stack.start_worker()
    await emulator.arm("login-refused", phone=LOTUS, status=402)
    code, lines, _ = await command("import", str(old.top), *WORDS)
    assert outcomes(lines) == {"aurora": "held", "lotus": "banned"}, lines
    assert code == 1
    code, lines, _ = await command("import", str(old.top), "--only", "lotus", "--again", *WORDS)
    assert (code, outcomes(lines)) == (0, {"lotus": "held"})
    assert [[(device["id"], device["linked_at"]) for device in await phone.devices()] for phone in phones] == before

    await text(stack, "aurora", emulator, "from the new house")
    assert [event for event in await emulator.events() if event.kind == "message.resent"] == []
    assert [event for event in await emulator.events(tag=stack.tag) if event.kind == "client.violation"] == []

    code, lines, _ = await command("import", str(old.top), "--only", "aurora", *WORDS)
    assert (code, verdicts(lines)) == (0, {"aurora": "there"})
    (old.top / "iris" / "creds.json").write_text(creds)
    old.rest("iris")
    code, lines, _ = await command("import", str(old.top), *WORDS)
    assert outcomes(lines) == {"iris": "held"}


async def test_a_service_that_still_runs_is_told_and_nothing_fights(stack, emulator, old, command):
    phone = await old.links("aurora", AURORA)
    before = [device["id"] for device in await phone.devices()]
    await stack.start_worker()
    async with old.client("aurora") as running:
        await running.until("open")
        code, lines, _ = await command("import", str(old.top), *WORDS)
        assert (code, verdicts(lines)) == (2, {"aurora": "refused"})
        assert "the old service still runs it" in lines[0]["why"]
        old.rest("aurora")
        code, lines, _ = await command("import", str(old.top), *WORDS)
        # Our login takes the connection over. Baileys, started again by its supervisor, takes it back: ours is parked.
        await running.until("close")
    assert outcomes(lines) == {"aurora": "held"}
    async with old.client("aurora") as back:
        await back.until("open")

        async def parked():
            return (await command("import", str(old.top), "--dry-run", "--json"))[1][0]["verdict"] == "refused"

        await until(parked)
        _, lines, _ = await command("import", str(old.top), "--again", "--dry-run", "--json")
        assert "the old service still runs it" in lines[0]["why"]
    old.rest("aurora")
    code, lines, _ = await command("import", str(old.top), "--again", *WORDS)
    assert outcomes(lines) == {"aurora": "held"}, lines
    assert [device["id"] for device in await phone.devices()] == before


async def test_a_device_goes_back_to_the_old_client(stack, emulator, old, command, tmp_path):
    phone = await old.links("aurora", AURORA)
    worker = await stack.start_worker()
    code, lines, _ = await command("import", str(old.top), *WORDS)
    assert outcomes(lines) == {"aurora": "held"}
    refused, _, said = await command("export", "aurora", "--to", "baileys", "--folder", str(tmp_path / "back"))
    assert refused == 3
    assert "A worker holds this session" in said
    await worker.stop()
    code, _, said = await command("export", "aurora", "--to", "baileys", "--folder", str(tmp_path / "back"))
    assert code == 0, said
    shutil.move(tmp_path / "back", old.top / "returned")
    before = len(await phone.devices())
    async with old.client("returned") as client:
        await client.until("open")
        said = await old.contact.say(AURORA, "are you back?")
        heard = await client.until("message", id=said)
        assert heard["text"] == "are you back?"
        await client.do("send", to=CONTACT, text="yes, back")
        await client.until("sent")
        await emulator.wait_for("message.received", where=lambda event: event.detail.get("text") == "yes, back")
        # Whatever is asked of us about the company from now on is no matter of its new client's.
        await stack.start_worker()
        for path in ("/api/v1/companies/aurora/session", "/api/v1/companies/aurora"):
            assert (await stack.http.delete(path)).status_code == 202
        await stack.worker.said("company.forgotten", session="company_aurora")
        said = await old.contact.say(AURORA, "still there?")
        await client.until("message", id=said)
    assert len(await phone.devices()) == before
    assert not list((tmp_path / "data").glob("devices/company_aurora*"))
