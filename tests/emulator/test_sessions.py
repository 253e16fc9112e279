"""A linked neonize: it comes back, sends, is cut, replaced, logged out; and the emulator restarts."""

import pytest

from app.local.redis import free_port
from emulator.client import Emulator
from tests.emulator.harness import Client


async def test_a_linked_device_resumes_without_a_new_upload(emulator, linked, start, phone):
    await linked.kill()
    seen = await emulator.now()
    again = await start()
    await again.until("Connected")
    await emulator.wait_for("device.connected", phone=phone.number, after=seen)
    kinds = [event.kind for event in await emulator.events(seen, phone=phone.number)]
    assert "prekeys.uploaded" not in kinds


async def test_a_text_arrives_and_can_be_read(emulator, linked, phone):
    for text in ("Здравствуйте!", "в 15:00?"):
        linked.tell(do="send", to="79990000002", text=text)
        await linked.until("sent")
    messages = await emulator.messages(phone.number)
    assert [(message["to"], message["text"]) for message in messages] == [
        ("79990000002", "Здравствуйте!"),
        ("79990000002", "в 15:00?"),
    ]


async def test_a_text_marked_as_written_by_a_bot_is_refused(emulator, linked, phone, tmp_path):
    await linked.kill()
    # A tag of its own: the fixtures count violations. Without NEONIZE_BOT_TAG=off the library marks what it sends.
    environment = emulator.client_env(tag="bot-mark") | {"NEONIZE_BOT_TAG": "on"}
    marking = await Client.start(environment, tmp_path / "session.db")
    try:
        await marking.until("Connected")
        marking.tell(do="send", to="79990000002", text="Hello")
        assert "400" in (await marking.until("failed"))["error"]
    finally:
        await marking.kill()
    (event,) = [event for event in await emulator.events(tag="bot-mark") if event.kind == "client.violation"]
    assert "bot" in event.detail["reason"]
    assert await emulator.messages(phone.number) == []


async def test_a_cut_connection_comes_back_by_itself(emulator, linked, phone, tag):
    seen = await emulator.now()
    assert await emulator.cut(tag=tag) == 1
    await linked.until("Disconnected")
    await linked.until("Connected")
    await emulator.wait_for("device.connected", phone=phone.number, after=seen)


async def test_the_owner_logs_the_device_out(emulator, linked, phone):
    (device,) = await phone.devices()
    assert await phone.logout() == [device["id"]]
    await linked.until("LoggedOut")
    assert await phone.devices() == []


async def test_an_offline_device_learns_of_its_logout_at_login(linked, start, phone):
    await linked.kill()
    await phone.logout()
    again = await start()
    line = await again.until("LoggedOut")
    assert line.get("OnConnect") is True


async def test_the_device_logs_itself_out(emulator, linked, phone):
    linked.tell(do="logout")
    await linked.until("logged-out")
    assert (await emulator.wait_for("device.unlinked", phone=phone.number)).detail[
        "reason"
    ] == "the device asked for it"


async def test_the_same_session_twice_replaces_the_older(linked, start):
    second = await start()
    await second.until("Connected")
    await linked.until("StreamReplaced")


async def test_devices_survive_a_restart_of_the_emulator(start, phone, tmp_path):
    state = tmp_path / "state"
    # A port that nobody is given by the system while the emulator is away.
    async with Emulator.start(state, proxy_port=free_port(), life=0) as first:
        client = await start(on=first)
        assert await first.phone(phone.number).scan(await client.qr()) == "confirmed"
        await client.until("Connected")
    await client.until("Disconnected")
    async with Emulator.start(state, proxy_port=first.proxy_port, life=0) as second:
        await client.until("Connected", seconds=90)
        (device,) = await second.phone(phone.number).devices()
        assert device["online"]


@pytest.mark.slow
async def test_an_unanswered_ping_is_noticed(emulator, linked, tag):
    await emulator.arm("keepalive-silence", tag=tag)
    await linked.until("KeepAliveTimeout", seconds=60)
    await linked.until("KeepAliveRestored", seconds=60)
