"""Ordinary life against the real neonize: it survives all of it, and does what it should."""

import contextlib
import sqlite3

import pytest

from emulator.life import Course, Life
from tests.waiting import until

_QUIET = {
    Life.MEDIA_RECEIPT,
    Life.HISTORY,
    Life.APP_STATE,
    Life.LID_MIGRATION,
    Life.BACKLOG,
    Life.UNREADABLE,
    Life.PREKEYS_LOW,
    Life.IDENTITY,
}
"""Those that have a test of their own."""


async def proves_alive(linked, friend="79119999998"):
    linked.tell(do="send", to=friend, text="still here")
    await linked.until("sent")
    assert not any(linked.heard(event) for event in ("Disconnected", "LoggedOut", "ended", "gone"))


async def until_kept(linked, database, kept):
    """The library stores behind its events: a text to and fro passes the time until the counts are as `kept` says."""
    found: dict[str, int] = {}
    for _ in range(100):
        found = {question: rows(database, question)[0][0] for question in kept}
        if found == kept:
            return
        await proves_alive(linked)
    pytest.fail(f"kept {found}, not {kept}")


def rows(database, question):
    """The device's own file; it is read while the library writes."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as file:
        return file.execute(question).fetchall()


async def test_neonize_survives_ordinary_life(linked, phone):
    for life in set(Life) - _QUIET:
        await phone.live(life, times=16 if life is Life.ODD else 1)
    await proves_alive(linked)


async def test_history_is_fetched_from_the_media_host(emulator, linked, phone, tag, tmp_path):
    await phone.live("history", messages=200, chats=10)
    for _ in range(3):  # chats, names, the rest
        await linked.until("HistorySync")
    served = [event for event in await emulator.events(tag=tag) if event.kind == "media.served"]
    assert len(served) == 3
    database = tmp_path / "session.db"
    kept = {
        "select count(*) from whatsmeow_message_secrets": 200,
        "select count(*) from whatsmeow_privacy_tokens": 10,
        "select count(*) from whatsmeow_contacts where push_name like 'Phone%'": 10,
    }
    await until_kept(linked, database, kept)


async def test_the_media_host_may_be_out_of_reach(emulator, linked, phone, tag):
    await emulator.arm("media-unreachable", tag=tag, times=None)
    await phone.live("history", messages=10, chats=2)
    await emulator.wait_for("connection.refused", tag=tag)
    await proves_alive(linked)


def asked(version):
    """Whether an event tells of a device that has this version."""
    return lambda event: event.detail["asked"] == version


async def test_the_address_book_comes_as_app_state(emulator, linked, phone, tmp_path):
    database = tmp_path / "session.db"
    for known in range(3):  # who asks for what follows the second version has kept both
        await phone.live("app-state", chats=7)
        await emulator.wait_for("app-state.fetched", phone=phone.number, where=asked(known))
    await proves_alive(linked)
    await until_kept(linked, database, {"select count(*) from whatsmeow_contacts where full_name like 'Phone%'": 21})


async def test_lids_are_learnt(emulator, linked, phone, tmp_path):
    await phone.live("lid-migration", chats=9)
    await emulator.wait_for("receipt.received", phone=phone.number, where=lambda e: e.detail["type"] == "peer_msg")
    await proves_alive(linked)
    await until_kept(
        linked, tmp_path / "session.db", {"select count(*) from whatsmeow_lid_map where pn like '7955%'": 9}
    )


async def test_a_backlog_is_handed_over_at_the_login(emulator, linked, phone):
    await phone.live("backlog", messages=40)  # the first may be opened before the library tells that it is connected
    texts = [(await linked.until("message"))["text"] for _ in range(40)]
    assert texts == [f"while you were away {number}" for number in range(40)]


async def test_what_cannot_be_opened_is_asked_for_again(emulator, linked, phone):
    await phone.live("unreadable")
    assert (await linked.until("message"))["text"] == "once more"


async def test_one_time_keys_are_brought_when_they_run_out(emulator, linked, phone):
    seen = await emulator.now()
    await phone.live("prekeys-low")
    brought = await emulator.wait_for("prekeys.uploaded", phone=phone.number, after=seen)
    assert brought.detail["count"] >= 50


async def test_a_contact_with_a_new_phone_can_be_written_to(emulator, linked, phone):
    await emulator.phone("79550000000").say(phone.number, "from the old phone")
    await linked.until("message")
    for _ in range(60):  # one of fifty contacts each time
        await phone.live("identity")
    for number in ("79550000000", "79550000001"):
        linked.tell(do="send", to=number, text="to the new phone")
        await linked.until("sent")

    async def are_read() -> bool:  # the new phone asks again for what was meant for the old one's keys
        return {message["text"] for message in await emulator.messages(phone.number)} == {"to the new phone"}

    await until(are_read)


async def test_life_happens_by_itself_at_the_rate_of_a_tag(emulator, start, phone, tag):
    await emulator.settings(tag, life=1)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await emulator.wait_for("life", phone=phone.number)
    await emulator.settings(tag)


def test_the_same_seed_makes_the_same_choices():
    def chosen(seed):
        course = Course(0.1, seed)
        return [course.next() for _ in range(500)]

    assert chosen(7) == chosen(7) != chosen(8)
    assert 20 < len([life for life in chosen(7) if life]) < 90
    assert not any(Course(0.0, 7).next() for _ in range(500))


@pytest.mark.parametrize("fault", ["usync-refused", "usync-cut", "keys-cut"])
async def test_what_is_asked_before_a_text_may_fail(emulator, linked, phone, tag, fault):
    await emulator.arm(fault, tag=tag)
    linked.tell(do="send", to="79119999997", text="x")
    await linked.until("failed", "sent")
    linked.tell(do="send", to="79119999996", text="y")
    await linked.until("sent", "failed")
