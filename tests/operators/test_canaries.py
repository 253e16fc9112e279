"""Every secret and every number is a canary here, goes through the whole service, and is then looked for on every surface:
logs, Sentry, events, feed, answers, refusals, figures, timeline, audit, exports, backups, the list of packages, command lines,
temporary files, and all of Redis.

The life that spreads the canaries and the surfaces that are searched name the same things: one file.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pyrage
import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from emulator.environment import HOOK_DIRECTORY
from shared.core import keys
from tests.e2e.processes import words
from tests.e2e.stack import API_KEY, Stack, new_number
from tests.e2e.test_forgetting import everything
from tests.operators.conftest import ROOT, Command
from tests.operators.sink import Sink
from tests.receiver import Receiver
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BROKEN = Path(__file__).with_name("broken")
IDENTITY = pyrage.x25519.Identity.generate()
SECRETS = {
    "SECRET_KEY": "canary-secret-key-that-is-long-enough",
    "WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"canary secret of the webhooks").decode(),
    "BACKUP_KEY": str(IDENTITY),
}
TEXT, REPLY, OWN_SECRET = "canary: you are booked", "canary: thank you", "canary-secret-of-one-company"
COMPANY = "aurora"
SHORT = 6
"""A part of a QR's text with no more letters is no secret: its version, its platform."""
#: What `onboarding` shows. No person's number may be in it, and no secret.
COMMANDS = [
    *(
        "status",
        f"status {COMPANY}",
        "sessions",
        "workers",
        "queue",
        "top --once",
        "doctor",
        "switch list",
        "webhooks list",
    ),
    *(
        "webhooks dead",
        f"timeline {COMPANY}",
        "timeline operators",
        f"cooldowns {COMPANY}",
        "status no-such",
        "unpark aurora",
    ),
    *(
        "link revoke eyJhbGciOiJIUzI1NiJ9.e30.x",
        "webhooks show nothing",
        "webhooks resend nothing",
        "switch on nonsense",
    ),
    *(
        "status --json",
        f"status {COMPANY} --json",
        "sessions --json",
        f"timeline {COMPANY} --json",
        "webhooks list --json",
    ),
]


@pytest_asyncio.fixture(loop_scope="session")
async def heard() -> AsyncIterator[Sink]:
    async with Sink.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def platform() -> AsyncIterator[Receiver]:
    async with Receiver.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def told(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, heard: Sink, platform: Receiver
) -> AsyncIterator[Stack]:
    """A service full of canaries, which says all that it can, and has a bug for companies named `salon-broken…`."""
    more: dict[str, Any] = {
        "SENTRY_DSN": heard.dsn,
        "WEBHOOK_URL": platform.url,
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
    }
    more |= {"PYTHONPATH": str(BROKEN), "WA_BROKEN_NEXT_HOOK": str(HOOK_DIRECTORY / "sitecustomize.py")}
    events = "session.linked message.received message.sent onboarding.started onboarding.failed"
    more |= SECRETS | {"WEBHOOK_EVENTS": events.replace(" ", ",")}
    async with Stack.running(emulator, own_redis.url, folder, quiet=True, **more) as stack:
        yield stack


async def a_life(stack: Stack, platform: Receiver) -> dict[str, set[str]]:
    """A company's whole life, and a bug; the canaries by their kind: `service` (its own secrets), `secret`
    (these and all others that are nobody's to see), `number` (people's)."""
    redis_password = stack.environment["REDIS_URL"].partition(":")[2].partition("@")[0].rpartition(":")[2]
    service = {*SECRETS.values(), API_KEY, redis_password, OWN_SECRET}
    secret = set(service)
    number, to, other = new_number(), new_number(), new_number()
    link = await stack.link(COMPANY, phoneNumber=number, companyName="Aurora")
    async with stack.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        await socket.send("request-pairing-code", phoneNumber=number)
        code = (await socket.snapshot(lambda s: "code" in s))["code"]["text"]
        secret |= {
            shown["qr"]["text"],
            *(part for part in shown["qr"]["text"].rpartition("@")[2].split(",") if len(part) > SHORT),
            code,
            code.replace("-", ""),
        }
        await stack.emulator.phone(number).type_code(code)
        await socket.state("linked")
    await stack.worker.said("session.logged-in", session=link["session"])
    said = {"to": to, "text": TEXT}
    sent = (await stack.http.post(f"/api/v1/companies/{COMPANY}/messages", json=said)).json()
    await platform.event(lambda event: event["type"] == "message.sent")
    assert (await stack.http.get(f"/api/v1/companies/{COMPANY}/contacts/{to}")).json()["exists"]
    await stack.emulator.phone(to).say(number, REPLY)
    await platform.event(lambda event: event["type"] == "message.received")
    await stack.http.put(
        "/api/v1/companies/lotus/webhook", json={"url": "https://hooks.example/", "secret": OWN_SECRET}
    )
    broken = await stack.link("salon-broken", phoneNumber=other)
    async with stack.socket(broken) as socket:
        await socket.send("request-pairing-code", phoneNumber=other)
        assert (await socket.error())["code"] == "internal"
    spare = await stack.link(COMPANY)
    secret |= {one[part] for one in (link, broken, spare) for part in ("token",)}
    secret |= {one["token"].split(".")[2] for one in (link, broken, spare)}
    assert sent["id"]
    return {
        "service": service,
        "secret": secret,
        "number": {one[1:] for one in (number, to, other)} | {number[2:], to[2:], other[2:]},
    }


async def answers(stack: Stack) -> dict[str, str]:
    """What the API says and refuses, to a key that may do everything and to none."""
    wrong = {"to": "+7900", "text": TEXT, "unknown": REPLY}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/metrics", None),
        ("GET", "/readyz", None),
        ("GET", "/healthz", None),
        ("GET", "/link", None),
        ("GET", "/api/v1/openapi.json", None),
        ("GET", "/api/v1/companies", None),
        ("GET", "/api/v1/webhooks", None),
        ("GET", "/api/v1/companies/lotus/webhook", None),
        ("GET", "/api/v1/companies/salon-broken", None),
        ("GET", f"/api/v1/companies/{COMPANY}/attempts", None),
        ("POST", f"/api/v1/companies/{COMPANY}/messages", wrong),
        ("POST", f"/api/v1/companies/{COMPANY}/attempts", {"method": "code", "phoneNumber": TEXT}),
        ("POST", "/api/v1/links", {"companyId": COMPANY, "phoneNumber": TEXT, "returnUrl": "https://u:p@x.example"}),
        ("POST", "/api/v1/links", [TEXT]),
        ("DELETE", "/api/v1/nothing", None),
    ]
    said: dict[str, str] = {}
    for method, path, body in calls:
        for who, headers in (("we", {}), ("nobody", {"authorization": "Bearer wrong"})):
            answer = await stack.http.request(method, path, json=body, headers=headers)
            said[f"{method} {path} for {who} ({len(said)})"] = f"{answer.headers} {answer.text}"
    return said


async def feed(stack: Stack) -> str:
    pieces: list[str] = []
    async with stack.http.stream("GET", "/api/v1/events", headers={"last-event-id": "0-0"}) as stream:
        async for piece in stream.aiter_text():
            pieces.append(piece)
            if "message.sent" in "".join(pieces):
                break
    return "".join(pieces)


def command_lines(stack: Stack) -> str:
    """Of all processes of the service, as anybody on the machine can read them."""
    pids = [stack.web.pid, *(one.pid for one in stack.workers)]
    found = [psutil.Process(pid) for pid in pids]
    found += [child for one in found for child in one.children(recursive=True)]
    return "\n".join(" ".join(words(one)) for one in found)


def engines(stack: Stack) -> list[str]:
    """The environments of the processes that parse WhatsApp's bytes."""
    said = []
    for one in stack.worker.children():
        with contextlib.suppress(OSError):  # gone meanwhile
            said.append(Path(f"/proc/{one.pid}/environ").read_bytes().decode())
    return said


async def test_no_canary_is_on_any_surface(
    told: Stack, heard: Sink, platform: Receiver, folder: Path, own_redis: LocalRedis
) -> None:
    command = Command(told)
    canaries = await a_life(told, platform)
    await until(lambda: "salon-broken" in heard.raw)
    surfaces = await answers(told)
    surfaces["feed"] = await feed(told)
    surfaces["Sentry"] = heard.raw
    surfaces["command lines"] = command_lines(told)
    surfaces["engine processes"] = "\n".join(await until(lambda: len(found := engines(told)) > 2 and found))
    async with asyncio.TaskGroup() as group:
        shown = {line: group.create_task(command(*line.split(), well=None, **SECRETS)) for line in COMMANDS}
    surfaces |= {f"onboarding {line}": one.result().out + one.result().err for line, one in shown.items()}
    surfaces["audit"] = repr(await told.redis.xrange(keys.OPERATORS))
    surfaces["timeline"] = repr(await told.redis.lrange(keys.timeline(f"company_{COMPANY}"), 0, -1))  # type: ignore[arg-type]
    surfaces["names in Redis"] = repr(await told.redis.keys("*"))
    surfaces["Redis' own log"] = (own_redis_folder(own_redis) / "redis.log").read_text(errors="replace")
    redis = await everything(told)
    private = ("wa:subject:", "wa:snapshot:", "wa:receiver:", "wa:webhook:", "wa:said:")  # docs/security.md
    surfaces["values in Redis"] = repr({name: value for name, value in redis.items() if not name.startswith(private)})
    # A backup while all runs, and a device that is handed back when nothing does.
    backup = folder / "canary.age"
    surfaces["backup"] = "".join((await moving(told, "backup", str(backup))).values())
    surfaces["backup's file"] = backup.read_bytes().decode("latin-1")
    await told.worker.stop()
    export = folder / "export"
    surfaces["export"] = "".join(
        (await moving(told, "export", COMPANY, "--to", "baileys", "--folder", str(export), "--json")).values()
    )
    surfaces["restore"] = "".join((await moving(told, "restore", str(backup), "--dry-run")).values())
    surfaces["logs"] = json.dumps([list(service.lines) for service in (told.web, *told.workers)], ensure_ascii=False)
    surfaces["raw logs"] = "\n".join(str(line) for service in (told.web, *told.workers) for line in service.lines)

    assert len(surfaces) > 60
    assert "operation.crashed" in surfaces["logs"], "the worst was said"
    assert [line for line in surfaces["feed"].splitlines() if "message.sent" in line]
    looked_for = canaries["secret"] | canaries["number"] | {TEXT, REPLY}
    assert [(canary, where) for where, said in surfaces.items() for canary in looked_for if canary in said] == []
    # The integrator hears numbers and texts where they are the news, and never a secret.
    for one in platform.received:
        for canary in canaries["secret"] | (set() if one.event["type"] == "message.received" else {TEXT, REPLY}):
            assert canary not in f"{one.headers} {one.body!r}", f"{canary} is in an event"
    # What holds the keys of a device holds nothing of the service's.
    for file in (one for place in (export, folder / "devices") for one in place.rglob("*") if one.is_file()):
        for canary in canaries["service"]:
            assert canary.encode() not in file.read_bytes(), f"{canary} is in {file}"
    left = [one for one in folder.iterdir() if one.name.startswith(("moving-", "backup-", "restore-", "tmp"))]
    assert left == [], "no temporary file stays"


def own_redis_folder(redis: LocalRedis) -> Path:
    return Path(os.readlink(f"/proc/{redis.pid}/cwd"))


async def moving(stack: Stack, *words: str) -> dict[str, str]:
    """A command that knows the device store: what it says, and its command line and its child's meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *words),
        cwd=ROOT,
        env=os.environ | stack.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return {"said": out.decode()}


async def test_the_list_of_packages_tells_nothing_of_the_machine_that_made_it() -> None:
    index = "https://canary-user:canary-word@index.example/simple"
    given = {
        "PIP_INDEX_URL": index,
        "UV_INDEX_URL": index,
        "PIP_EXTRA_INDEX_URL": index,
        **SECRETS,
        "API_KEYS": API_KEY,
    }
    made = subprocess.run(
        [sys.executable, ".ci/sbom.py"], cwd=ROOT, env=os.environ | given, capture_output=True, text=True, check=True
    ).stdout
    for canary in (*SECRETS.values(), API_KEY, "canary", str(ROOT), str(Path.home()), os.uname().nodename):
        assert canary not in made
    found = json.loads(made)
    lock = (ROOT / "requirements.txt").read_text()
    assert [(one["name"], one["version"]) for one in found["components"]] == re.findall(
        r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", lock, re.MULTILINE
    )
    assert made.count('"content"') == lock.count("--hash=sha256:")
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
