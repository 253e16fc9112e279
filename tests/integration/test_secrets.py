"""Phones, codes, QR texts, tokens and keys go through the whole of web, and are then looked for wherever they must not be."""

import asyncio
import contextlib
import gzip
import importlib
import json
import os
from pathlib import Path

import pytest

from shared.core import keys
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.state.outbox import Message, Outbox
from tests.integration.web import API_KEY, SECRET, Web
from tests.serving import serving
from tests.unit.world import World, change
from tests.waiting import until

BROKEN = {
    "PYTHONPATH": str(Path(__file__).parents[1] / "operators" / "broken"),
    "WA_BROKEN_NEXT_HOOK": os.devnull,
}
PHONE, OTHER, TO = "9001234567", "9007654321", "9035550199"
CODE, QR = "ABCD-EFGH", "https://wa.me/settings/linked_devices#2@s3cr3tqr,k3y,n0ise,adv,1"
TEXT = "a text for one person"
SESSION = SessionId("company_salon")
MESSAGE = Message(f"+7{TO}", TEXT)


class FakeSentry:
    """Takes envelopes as Sentry would, and keeps what they say."""

    def __init__(self):
        self.said = []

    @contextlib.asynccontextmanager
    async def listening(self):
        async with serving(self._serve) as port:
            yield f"http://public-key@127.0.0.1:{port}/1"

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next(
                    int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length")
                )
                body = await reader.readexactly(length)
                self.said.append(unpacked(body, head).decode())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


def unpacked(body, head):
    if "content-encoding: gzip" in head:
        return gzip.decompress(body)
    if "content-encoding: br" in head:  # when it is installed, by whomever
        return importlib.import_module("brotli").decompress(body)
    return body


@pytest.fixture
async def sentry():
    fake = FakeSentry()
    async with fake.listening() as dsn:
        yield fake, dsn


async def everything_happens(web, redis):
    """Everything that carries a secret; the tokens that were used."""
    world = World(redis)
    async with web.http() as http:
        made = (await http.post("/api/v1/links", json={"companyId": "salon", "phoneNumber": f"8{PHONE}"})).json()
        await http.post("/api/v1/links", json={"companyId": "salon", "phoneNumber": f"+7{OTHER}0000"})
        await http.get("/api/v1/companies/salon", params={"phone": f"+7{PHONE}"})
        async with web.tab(made["token"]) as tab:
            await tab.say("request-pairing-code", phoneNumber=f"+7{OTHER}")
            await tab.error()
            await tab.say("request-pairing-code", phoneNumber=f"8 {PHONE}")
            attempt = (await tab.snapshot(state="queued"))["attempt"]
            lease = await world.leases.acquire(SESSION, WorkerId("w1"), attempt=attempt)
            qr = {"text": QR, "svg": "<svg/>", "number": 1, "of": 6, "expires_at": 1}
            code = {"text": CODE, "expires_at": 1, "phone": "+7 •••••• 45 67"}
            await world.snapshots.save(lease, change(State.CONNECTING))
            await world.snapshots.save(lease, change(State.AWAITING_PHONE, qr=qr, code=code))
            await tab.snapshot(state="awaiting_phone")
            await tab.say("request-pairing-code", phoneNumber=f"8 {PHONE}")
            await until(lambda: redis.zcard(keys.queue_worker(WorkerId("w1"))))
            await world.snapshots.save(lease, change(State.LINKING))
            await world.snapshots.save(lease, change(State.LINKED))
            await tab.snapshot(state="linked")
            assert (
                await http.post("/api/v1/companies/salon/messages", json={"to": f"+7{TO}", "text": TEXT})
            ).status_code == 202
        async with web.connect() as bare:
            await bare.send(json.dumps({"type": "hello", "token": made["token"][:-2] + "xx"}))
            await bare.wait_closed()
        await http.delete(f"/api/v1/links/{made['id']}")
        await breaks(web)
        metrics = (await http.get("/metrics")).text
    return made["token"], metrics


async def breaks(web):
    """A bug while a phone is in hand."""
    async with web.tab(web.link("salon-broken", phone=f"+7{PHONE}")) as tab:
        await tab.say("request-pairing-code", phoneNumber=f"+7{PHONE}")
        assert (await tab.error())["code"] == "internal"


async def told_by(redis):
    """All names in Redis, and all values but those that are for the owner's eyes or gone in ten minutes."""
    told = []
    for key in await redis.keys("*"):
        name = key.decode()
        told.append(name)
        if not name.startswith(("wa:subject:", "wa:snapshot:")):
            kind = (await redis.type(key)).decode()
            match kind:
                case "string":
                    told.append(repr(await redis.get(key)))
                case "hash":
                    told.append(repr(await redis.hgetall(key)))
                case "zset":
                    told.append(repr(await redis.zrange(key, 0, -1)))
                case "list":
                    told.append(repr(await redis.lrange(key, 0, -1)))
                case "stream":
                    told.append(repr(await redis.xrange(key)))
                case "set":
                    told.append(repr(await redis.smembers(key)))
                case "none":
                    pass  # it has expired meanwhile
                case _:
                    raise AssertionError(f"{name} is a {kind}, which this test cannot read")
    return "\n".join(told)


async def test_no_secret_is_in_logs_sentry_metrics_jobs_or_names(redis_server, redis, folder, sentry):
    fake, dsn = sentry
    with Web.running(redis_server, folder / "web.log", SENTRY_DSN=dsn, LOG_LEVEL="debug", **BROKEN) as web:
        token, metrics = await everything_happens(web, redis)
        in_redis = await told_by(redis)
        await until(lambda: "salon-broken" in "".join(fake.said))
    logs = web.log.read_text()
    places = {"logs": logs, "metrics": metrics, "sentry": "\n".join(fake.said), "redis": in_redis}
    for secret in (PHONE, OTHER, TO, CODE, QR, "s3cr3tqr", TEXT, token, token.split(".")[2], API_KEY, SECRET):
        for place, told in places.items():
            assert secret not in told, f"{secret} is in {place}"
    assert "operation.crashed" in logs, "something was logged"
    assert "company_salon-broken" in logs
    assert '"companyId":"salon-broken"' in places["sentry"].replace(" ", ""), "Sentry heard of the bug, with its tags"
    assert "arq:job:link:company_salon" in in_redis, "jobs were looked at"


async def test_a_phone_leaves_redis_within_ten_minutes(redis):
    await Outbox(redis).accept(SESSION, MESSAGE)
    await World(redis).ask(f"+7{PHONE}")
    holding = await redis.keys("wa:subject:*")
    assert len(holding) == 2
    for key in holding:
        assert 0 < await redis.pttl(key) <= 600_000


async def test_what_goes_out_by_the_api_tells_no_more_than_its_key_may_know(redis_server, redis, folder):
    """Every new surface: the list, the state, the feed, problems, deliveries, the audit."""
    with Web.running(redis_server, folder / "web.log", **BROKEN) as web:
        token, metrics = await everything_happens(web, redis)
        quiet = {"url": "https://hooks.example/in", "secret": "whsec_" + "Y2FuYXJ5LXNlY3JldC1vZi1hLXdlYmhvb2s="}
        async with web.http() as http:
            assert (await http.put("/api/v1/companies/salon/webhook", json=quiet)).is_success
            wrong = {"to": f"+7{TO}", "text": TEXT, "surprise": TEXT}
            said = {
                "problem": (await http.post("/api/v1/companies/salon/messages", json=wrong)).text,
                "nobody": (
                    await http.post("/api/v1/companies/none/messages", json={"to": f"+7{TO}", "text": TEXT})
                ).text,
                "list": (await http.get("/api/v1/companies")).text,
                "state": (await http.get("/api/v1/companies/salon")).text,
                "deliveries": (await http.get("/api/v1/webhooks")).text,
                "receiver": (await http.get("/api/v1/companies/salon/webhook")).text,
                "metrics": metrics,
            }
            async with http.stream("GET", "/api/v1/events", headers={"last-event-id": "0-0"}) as stream:
                pieces = []
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(20) as patience:
                        async for piece in stream.aiter_text():
                            pieces.append(piece)
                            patience.reschedule(asyncio.get_running_loop().time() + 2)  # then it has said all
            said["feed"] = "".join(pieces)
    said["audit"] = "\n".join(repr(one) for one in await redis.xrange(keys.OPERATORS))
    said["timeline"] = repr(await redis.lrange(keys.timeline(SESSION), 0, -1))
    assert "retry:" in said["feed"]
    assert "problems/not-understood" in said["problem"]
    assert "attempt" in said["timeline"]
    canaries = (PHONE, OTHER, TO, CODE, QR, "s3cr3tqr", TEXT, token, API_KEY, SECRET, quiet["secret"])
    for surface, told in said.items():
        for secret in canaries:
            assert secret not in told, f"{secret} is in {surface}"
