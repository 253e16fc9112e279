"""A web process that stops, and one whose Redis does: nobody is left hanging."""

import asyncio
import contextlib
import signal

import pytest

from app.local import redis as local_redis
from tests.integration.web import Web
from tests.recovery import at_most
from tests.waiting import until


@pytest.fixture
def own_web(redis_server, folder):
    """A web process of this test alone."""
    with Web.running(redis_server, folder / "web.log") as web:
        yield web


async def test_sigterm_tells_every_tab_to_come_back_and_the_process_is_gone(own_web):
    began = asyncio.get_running_loop().time()
    async with own_web.tab() as one, own_web.tab(own_web.link("other")) as two, own_web.connect() as silent:
        await one.say("request-qr")
        await one.snapshot(state="queued")
        own_web.process.send_signal(signal.SIGTERM)
        assert {await tab.closed() for tab in (one, two)} == {1012}
        await silent.wait_closed()
    await until(lambda: own_web.process.poll() is not None, 15)
    assert asyncio.get_running_loop().time() - began < 15
    assert own_web.process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in own_web.log.read_text()


async def test_sigterm_ends_it_in_the_midst_of_a_flood_of_commands(own_web):
    async def commands():
        with contextlib.suppress(Exception):  # the socket is closed under us: that is the test
            async with own_web.tab(own_web.link("busy")) as tab:
                while True:
                    await tab.say("request-qr")
                    await asyncio.sleep(0.2)

    floods = [asyncio.create_task(commands()) for _ in range(10)]
    async with own_web.tab() as tab:
        await tab.say("request-qr")
        await tab.snapshot(state="queued")
        own_web.process.send_signal(signal.SIGTERM)
        assert await tab.closed() == 1012
    await until(lambda: own_web.process.poll() is not None, 15)
    await asyncio.gather(*floods)


PASSWORD = "a-password-of-this-test"


async def test_without_redis_it_says_so_and_with_redis_it_serves_again(folder):
    port = local_redis.free_port()
    running = lambda: local_redis.running(folder / "redis", port=port, password=PASSWORD)  # noqa: E731
    with running() as server, Web.running(server.url, folder / "web.log") as web:
        async with web.tab() as tab, web.http() as http:
            server.process.kill()
            server.process.wait()
            assert (await http.get("/healthz")).status_code == 200
            unready = await http.get("/readyz")
            assert unready.status_code == 503
            assert unready.json()["redis"] != "ok"
            assert (await http.get("/metrics")).status_code == 503
            assert (await http.get("/api/v1/companies/a")).status_code == 503
            await tab.say("request-qr")
            assert await tab.closed(30) == 1012, "come back later: the command was not done"
            with running():
                await until(lambda: is_answered(web), 30)
                async with web.tab() as again:
                    await again.say("request-qr")
                    await again.snapshot(state="queued")
        assert "Traceback" not in web.log.read_text()


async def is_answered(web):
    with contextlib.suppress(AssertionError, OSError, Exception):
        async with web.tab() as tab:
            return tab.seen[0]["type"] == "status"
    return False


async def test_a_hung_redis_is_told_within_the_patience_of_a_monitor(folder):
    with local_redis.running(folder / "redis") as server, Web.running(server.url, folder / "web.log") as web:
        async with web.http() as http:
            server.process.send_signal(signal.SIGSTOP)
            try:
                with at_most(8):
                    unready = await http.get("/readyz")
            finally:
                server.process.send_signal(signal.SIGCONT)
            assert unready.status_code == 503
            await until(lambda: speaks_to_redis(http), 30)


async def speaks_to_redis(http):
    return (await http.get("/readyz")).json()["redis"] == "ok"
