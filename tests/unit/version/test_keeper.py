"""The worker's web version: chosen, found once, shared, and used for fresh processes only."""

import asyncio
import time
from pathlib import Path

import pytest

from shared.core import webversion
from shared.core.clock import now_ms
from shared.core.webversion import ClientHealth, VersionWish, choose, is_search_due, parse_wish
from shared.state.webrevision import SharedRevision, WebRevisions
from shared.telemetry import sentry
from workers.engine.library import LibraryFile
from workers.engine.processes import EngineFailed
from workers.version import keeper
from workers.version.keeper import WebVersion
from workers.version.source import NoRevision

OWN, NEWER, NEWEST = 1_047_769_893, 1_050_000_000, 1_051_000_000
AUTOMATIC, OFF = VersionWish(), VersionWish(off=True)


@pytest.mark.parametrize(
    ("age", "wish", "known", "refused", "chosen", "due"),
    [
        (10, AUTOMATIC, 0, 0, OWN, False),
        (10, AUTOMATIC, NEWER, 0, OWN, False),  # the library's own as long as it is welcome
        (10, AUTOMATIC, 0, OWN, OWN, True),
        (10, AUTOMATIC, NEWER, OWN, NEWER, False),
        (10, AUTOMATIC, NEWER, NEWER, NEWER, True),
        (111, AUTOMATIC, 0, 0, OWN, True),
        (111, AUTOMATIC, NEWER, 0, NEWER, False),
        (10, VersionWish(NEWER), 0, 0, NEWER, False),
        (10, VersionWish(NEWER), NEWEST, OWN, NEWER, False),
        (10, VersionWish(NEWER), NEWEST, NEWER, NEWEST, False),
        (10, VersionWish(OWN - 1), 0, 0, OWN, False),
        (10, VersionWish(OWN + 50_000_000), 0, 0, OWN, False),  # not believed
        (10, AUTOMATIC, OWN + 50_000_000, OWN, OWN, True),
        (111, OFF, NEWER, OWN, OWN, False),
    ],
)
def test_the_version_is_chosen_and_searched_for(age, wish, known, refused, chosen, due):
    assert choose(OWN, age, wish, known, refused) == chosen
    assert is_search_due(OWN, age, wish, known, refused) is due


@pytest.mark.parametrize(
    "text", ["2.3000", "2.3000.12", "2.3000.1047769893x", "3.3000.1047769893", "on", "OFF", "1047769893"]
)
def test_texts_that_are_no_version_are_refused(text):
    with pytest.raises(ValueError, match="2.3000.N"):
        parse_wish(text)


class FakeEngines:
    """Remembers which library fresh processes load."""

    def __init__(self):
        self.library, self.tried, self.fails = None, [], False

    def use(self, library):
        self.library = library

    async def try_library(self, library):
        self.tried.append(library)
        if self.fails:
            raise EngineFailed("it does not load")


class FakePool:
    def __init__(self):
        self.refreshed = 0

    async def refresh(self):
        self.refreshed += 1


class Office:
    """One worker's keeper, and a WhatsApp that names `answer` when asked."""

    def __init__(self, redis, folder, library, wish=AUTOMATIC, answer=NEWER):
        self.engines, self.pool, self.answer = FakeEngines(), FakePool(), answer
        self.asked = self.newer = 0
        self.revisions = WebRevisions(redis)
        self.version = WebVersion(self.engines, self.pool, self.revisions, self.fetch, folder, wish, library)  # type: ignore[arg-type]
        self.version.listen(self._on_newer, lambda: None)

    def _on_newer(self):
        self.newer += 1

    async def fetch(self):
        self.asked += 1
        await asyncio.sleep(0)
        if self.answer is None:
            raise NoRevision("/ ConnectError; /sw.js ConnectError")
        return SharedRevision(self.answer, now_ms(), "/")


@pytest.fixture
def told(monkeypatch):
    """What Sentry hears."""
    heard: list[object] = []
    monkeypatch.setattr(sentry, "client_refused", heard.append)
    monkeypatch.setattr(sentry, "report", lambda _what, error: heard.append(type(error).__name__))
    return heard


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of today; copies are made in name only."""
    path = tmp_path / "neonize-linux-amd64.so"
    path.write_bytes(b"library")

    def copy_with(_library, revision, folder):
        copy = folder / "sha" / str(revision) / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"copy")
        return copy

    monkeypatch.setattr(keeper, "copy_with", copy_with)
    monkeypatch.setattr(keeper, "newest_copy", lambda _library, _folder: 0)
    return LibraryFile(path, 0, OWN, round(time.time() * 1000))


async def test_many_refusals_ask_once_and_all_may_try_again(redis, tmp_path, library, told):
    office = Office(redis, tmp_path, library)
    assert await asyncio.gather(*(office.version.refused(None) for _ in range(40))) == [True] * 40
    assert (office.asked, office.newer, office.pool.refreshed) == (1, 1, 1)
    assert office.version.in_use == NEWER
    assert Path(office.engines.library).parent.name == str(NEWER)
    assert office.engines.tried == [office.engines.library]
    assert told == []
    assert office.version.health is ClientHealth.OK


async def test_a_version_that_one_worker_found_serves_the_others_without_a_question(redis, tmp_path, library, told):
    first, second, third = (Office(redis, tmp_path / str(n), library) for n in range(3))
    await first.version.refused(None)
    await second.version.look()  # before anything of it is refused
    assert second.version.in_use == NEWER
    assert await third.version.refused(None)
    assert (first.asked, second.asked, third.asked) == (1, 0, 0)
    assert told == []


async def test_a_newer_number_that_is_refused_as_well_is_told_once_and_asked_for_again_only_later(
    redis, tmp_path, library, told, monkeypatch
):
    monkeypatch.setattr(keeper, "TRY_SECONDS", 0.05)
    first, second = (Office(redis, tmp_path / str(n), library) for n in range(2))
    await first.version.refused(None)
    await second.version.look()
    refused = first.engines.library
    monkeypatch.setattr(first.version, "_search_at", asyncio.get_running_loop().time() + 100)
    monkeypatch.setattr(second.version, "_search_at", asyncio.get_running_loop().time() + 100)
    for _ in range(3):
        assert not await first.version.refused(refused)
        assert not await second.version.refused(second.engines.library)
    assert (first.asked, second.asked) == (1, 0)
    assert told == [f"2.3000.{NEWER}"]
    assert first.version.health is ClientHealth.REFUSED
    assert not await first.version.refused(None), "an old refusal that comes late has nothing better to try"
    first.answer = NEWEST
    monkeypatch.setattr(first.version, "_search_at", 0)
    await first.version.look()
    assert (first.version.in_use, first.newer) == (NEWEST, 2)
    assert await first.version.refused(refused), "an old refusal that comes late has a newer version to try"


async def test_an_operator_who_names_a_number_needs_no_network(redis, tmp_path, library, told):
    office = Office(redis, tmp_path, library, answer=None)
    assert not await office.version.refused(None)
    assert told == [f"2.3000.{OWN}"]
    office.version.obey(VersionWish(NEWEST))
    await office.version.look()
    assert (office.version.in_use, office.version.source, office.newer) == (NEWEST, "wish", 1)
    office.version.obey(None)
    await office.version.look()
    assert (office.version.in_use, office.engines.library) == (OWN, None)


async def test_without_a_network_the_last_copy_on_disk_helps(redis, tmp_path, library, told, monkeypatch):
    monkeypatch.setattr(keeper, "newest_copy", lambda _library, _folder: NEWER)
    office = Office(redis, tmp_path, library, answer=None)
    assert await office.version.refused(None)
    assert (office.version.in_use, office.version.source, told) == (NEWER, "disk", [])


async def test_a_copy_that_does_not_load_is_not_used_and_told(redis, tmp_path, library, told):
    office = Office(redis, tmp_path, library)
    office.engines.fails = True
    assert not await office.version.refused(None)
    assert (office.version.in_use, office.engines.library) == (OWN, None)
    assert told[0] == "EngineFailed"


async def test_a_library_that_hides_its_version_is_used_as_it_is_and_told(redis, tmp_path, told):
    office = Office(redis, tmp_path, None)
    assert not await office.version.refused(None)
    assert not await office.version.refused(None)
    assert (office.asked, office.engines.library) == (0, None)
    assert office.version.health is ClientHealth.UNKNOWN
    assert told == ["2.3000.0"]


async def test_an_attempt_that_has_no_more_time_does_not_end_the_search_for_the_others(redis, tmp_path, library, told):
    office = Office(redis, tmp_path, library)
    impatient = asyncio.create_task(office.version.refused(None))
    patient = asyncio.create_task(office.version.refused(None))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient
    assert office.asked == 1


async def test_a_version_that_is_taken_after_all_is_not_refused_any_more(redis, tmp_path, library, told):
    first, second = (Office(redis, tmp_path / str(n), library, answer=None) for n in range(2))
    await first.version.refused(None)
    assert first.version.health is ClientHealth.REFUSED
    first.version.accepted(None)
    await asyncio.gather(*first.version._tasks)
    await first.version.look()
    await second.version.look()
    assert {first.version.health, second.version.health} == {ClientHealth.OK}
    await second.version.refused(None)
    assert told == [f"2.3000.{OWN}"], "told once a day"


async def test_nonsense_in_redis_is_no_version(redis, tmp_path, library, told):
    await redis.hset("wa:web-revision", mapping={"number": "much", "refused": "-3", "at": b"\xff", "source": "x" * 999})
    office = Office(redis, tmp_path, library, answer=None)
    await office.version.look()
    assert office.version.in_use == OWN
    await redis.hset("wa:web-revision", mapping={"number": OWN + webversion.GROWTH + 1, "refused": OWN + 7})
    await office.version.look()
    assert office.version.in_use == OWN


async def test_the_age_is_that_of_the_version_in_use(redis, tmp_path, library, told):
    old = LibraryFile(library.path, 0, OWN, round((time.time() - 105 * 86_400) * 1000))
    office = Office(redis, tmp_path, old)
    assert round(office.version.age_days) == 105
    assert office.version.health.value == "old"
    await office.version.refused(None)
    assert round(office.version.age_days) == 0
    assert office.version.health.value == "ok"
