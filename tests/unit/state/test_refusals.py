"""A Redis that answers and cannot serve: the connection is dropped, the error says why, and it is nobody's bug."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self

import pytest
from pydantic import SecretStr
from redis import exceptions

from app.http import problems
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import connections
from shared.state import pool as redis_pool
from shared.state.pool import PASSING
from shared.state.refusals import MOVES, REFUSALS, PoolBusy, RedisMoved, RedisRefuses, reason, refusal
from tests.serving import serving

SAID = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "CLUSTERDOWN": "CLUSTERDOWN The cluster is down",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "MISCONF": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "UNKILLABLE": "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    "NOPERM": "NOPERM this user has no permissions to run the 'set' command",
    "NOAUTH": "NOAUTH Authentication required.",
    "WRONGPASS": "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPASS": "ERR AUTH <password> called without any password configured for the default user.",
    "NODB": "ERR DB index is out of range",
    "LIMIT": "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
    "ASK": "ASK 3999 127.0.0.1:6381",
    "CROSSSLOT": "CROSSSLOT Keys in request don't hash to the same slot",
}


class Parrot:
    """A server that answers the commands of its first connections with a line, and everything later with `+OK`."""

    def __init__(self) -> None:
        self.line = b"+OK"
        self.refusing = 0
        self.connections = 0
        self.run_id = 1

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Gone, with its connections, at the end of the block."""
        parrot = cls()
        async with serving(parrot._serve) as parrot.port:
            yield parrot

    port: int

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        mine = self.connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                well = words[0] in {b"CLIENT", b"AUTH", b"SELECT", b"PING"} or mine > self.refusing
                if words[0] == b"INFO":
                    writer.write(b"$10\r\nrun_id:%03d\r\n" % self.run_id)
                    continue
                writer.write((b"+PONG" if words[0] == b"PING" else b"+OK" if well else self.line) + b"\r\n")
                await writer.drain()


def settings_of(url: str) -> Settings:
    return Settings(redis_url=SecretStr(url), secret_key=SecretStr("s" * 40), api_keys=(SecretStr("k" * 20),))


@pytest.fixture
async def parrot():
    async with Parrot.running() as one:
        yield one


@pytest.fixture
async def ours(parrot):
    redis = client(redis_pool.pool(settings_of(f"redis://127.0.0.1:{parrot.port}/0")))
    yield redis
    await redis.aclose(close_connection_pool=True)


def test_every_refusal_of_redis_is_tried():
    assert SAID.keys() == REFUSALS.keys()


@pytest.mark.parametrize("word", SAID)
async def test_a_refusing_server_is_left_and_the_next_one_serves(parrot, ours, word):
    parrot.line, parrot.refusing = b"-" + SAID[word].encode(), 1
    if word in MOVES:
        assert await ours.set("name", "value")  # nobody has noticed
    else:
        with pytest.raises(RedisRefuses) as refused:
            await ours.set("name", "value")
        assert refused.value.word == word
        assert isinstance(refused.value, PASSING)
        assert await ours.set("name", "value")
    assert parrot.connections == 2


@pytest.mark.parametrize(
    "line",
    [
        "ERR Error running script (call to f_0): @user_script:12: @user_script: 12: -READONLY You can't write.",
        "READONLY You can't write against a read only replica. script: 0, on @user_script:1.",
        "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
    ],
)
async def test_a_refusal_is_found_inside_scripts_and_transactions(parrot, ours, line):
    parrot.line, parrot.refusing = b"-" + line.encode(), 1
    assert await ours.execute_command("EVALSHA", "0" * 40, 0) == b"OK"
    assert parrot.connections == 2


async def test_a_word_of_a_server_that_we_do_not_know_is_nobodys_bug_either(parrot, ours):
    parrot.line, parrot.refusing = (
        b"-DENIED Redis is in protected mode, and no password is set for the default user.",
        1,
    )
    with pytest.raises(RedisRefuses, match=r"Redis cannot serve \(DENIED\)"):
        await ours.set("name", "value")
    assert await ours.set("name", "value")
    assert parrot.connections == 2


@pytest.mark.parametrize(
    "line",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR value is not an integer or out of range",
        "ERR the key READONLY is odd",
        "ERR user_script:1: OOM in the text of somebody",
    ],
)
async def test_another_error_stays_what_it_is(parrot, ours, line):
    parrot.line, parrot.refusing = b"-" + line.encode(), 1
    with pytest.raises(exceptions.ResponseError) as found:
        await ours.set("name", "value")
    assert refusal(found.value) is None
    assert await ours.ping() is not None
    assert parrot.connections == 1


@pytest.mark.parametrize("word", SAID)
def test_a_caller_is_told_to_come_again_and_why(word):
    found = problems.of_redis(refusal(exceptions.ResponseError(SAID[word])))
    assert found.view.status == 503
    assert REFUSALS[word] in found.view.detail
    assert found.response().headers["retry-after"]


async def test_a_pool_that_is_exhausted_is_busy_and_redis_is_not_away(ours):
    ours.connection_pool.timeout = 0.01
    taken = [await ours.connection_pool.get_connection() for _ in range(redis_pool.POOL_SIZE)]
    with pytest.raises(PoolBusy) as busy:
        await ours.ping()
    for one in taken:
        await ours.connection_pool.release(one)
    problem = problems.of_redis(busy.value)
    assert (problem.view.status, problem.view.type) == (503, "/problems/busy")
    assert "in use" in reason(busy.value)


def test_a_password_in_an_error_is_not_repeated():
    error = exceptions.ConnectionError("Error connecting to redis://:secret@host")
    assert "secret" not in reason(error)
    assert not isinstance(refusal(exceptions.ResponseError("OOM x")), RedisMoved)


async def test_a_caller_is_not_kept_waiting_for_the_tries_of_the_command_times_those_of_the_connection(monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.3)
    config = Settings(
        redis_url=SecretStr("redis://127.0.0.1:1/0"), secret_key=SecretStr("s" * 40), api_keys=(SecretStr("k" * 20),)
    )
    redis = client(redis_pool.pool(config))
    async with asyncio.timeout(3):
        with pytest.raises(exceptions.ConnectionError):
            await redis.ping()
    await redis.aclose(close_connection_pool=True)


async def test_another_server_behind_the_same_name_is_noticed_when_it_is_met(parrot, ours):
    met = []
    ours.connection_pool.on_change(lambda: met.append(parrot.run_id))
    await ours.set("name", "value")
    await ours.connection_pool.disconnect()
    await ours.set("name", "value")
    assert met == []  # a new connection to the same
    parrot.run_id = 2
    await ours.connection_pool.disconnect()
    await ours.set("name", "value")
    assert met == [2]
