"""A real neonize links with an emulated phone."""

import base64
import io

import pytest
import segno

from tests.emulator.harness import PATIENCE


async def test_a_scanned_qr_links_reconnects_after_515_and_uploads_prekeys(emulator, start, phone, tag):
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    assert await client.word() == "success"
    await client.until("Connected")
    await emulator.wait_for("device.connected", tag=tag, phone=phone.number)
    kinds = [event.kind for event in await emulator.events(tag=tag)]
    assert kinds == [
        "connection.opened",
        "client.registered",
        "qr.offered",
        "qr.scanned",
        "pairing.confirmed",
        "device.linked",
        "connection.closed",
        "connection.opened",
        "device.logged-in",
        "prekeys.uploaded",
        "device.connected",
    ]
    (device,) = await phone.devices()
    assert (device["online"], device["prekeys"]) == (True, 812)


async def test_a_phone_scans_a_picture(start, phone):
    client = await start()
    picture = io.BytesIO()
    segno.make(await client.qr(), error="l").save(picture, kind="png", scale=4)
    assert await phone.scan(picture.getvalue()) == "confirmed"
    await client.until("Connected")


async def test_a_typed_code_links(emulator, start, phone, tag):
    client = await start()
    await client.qr()
    code = await client.code(f"+{phone.number}")
    (asked,) = [event for event in await emulator.events(tag=tag) if event.kind == "code.requested"]
    assert asked.detail["display"] == "Chrome (Linux)"
    assert await phone.type_code(code) == "confirmed"
    await client.until("Connected")


async def test_after_a_wrong_code_the_right_one_still_links(start, phone):
    client = await start()
    await client.qr()
    code = await client.code(phone.number)
    assert await phone.type_code("ABCD-1234") == "wrong-code"
    assert await phone.type_code(code) == "confirmed"
    await client.until("Connected")


async def test_after_a_wrong_code_the_qr_is_dead(emulator, start, phone, tag):
    client = await start()
    qr = await client.qr()
    await client.code(phone.number)
    assert await phone.type_code("ABCD-1234") == "wrong-code"
    assert await phone.scan(qr) == "confirmed"
    assert await client.word() == "error"
    failed = await emulator.wait_for("pairing.failed", tag=tag)
    assert failed.detail == {"status": "401", "reason": "hmac-mismatch"}
    assert await phone.devices() == []


async def test_three_wrong_codes_kill_the_code(start, phone):
    client = await start()
    await client.qr()
    code = await client.code(phone.number)
    for _ in range(3):
        assert await phone.type_code("ABCD-1234") == "wrong-code"
    assert await phone.type_code(code) == "expired"


async def test_only_the_newest_code_of_a_number_links(start, phone):
    client = await start()
    await client.qr()
    older = await client.code(phone.number)
    newer = await client.code(phone.number)
    assert await phone.type_code(older) == "wrong-code"
    assert await phone.type_code(newer) == "confirmed"
    await client.until("Connected")


async def test_a_late_code_has_expired(emulator, start, phone, tag):
    await emulator.settings(tag, code_seconds=0)
    client = await start()
    await client.qr()
    assert await phone.type_code(await client.code(phone.number)) == "expired"


async def test_a_phone_that_nobody_asked_knows_no_code(phone):
    assert await phone.type_code("ABCD-1234") == "no-code-asked"
    assert await phone.type_code("O000-0000") == "not-a-code"


async def test_a_qr_is_used_once(emulator, start, phone):
    client = await start()
    qr = await client.qr()
    assert await phone.scan(qr) == "confirmed"
    assert await emulator.phone("79990000001").scan(qr) in ("already-used", "expired")
    await client.until("Connected")


@pytest.mark.parametrize("text", ["", "https://example.org/", "2@x,y,z", "2@" + ",".join(["!" * 44] * 4)])
async def test_other_pictures_are_no_codes(phone, text):
    assert await phone.scan(text) == "not-a-code"


async def test_a_qr_of_nobody_has_expired(phone):
    key = base64.b64encode(bytes(32)).decode()
    assert await phone.scan(f"https://wa.me/settings/linked_devices#2@ref,{key},{key},{key},1") == "expired"


async def test_a_fifth_device_is_one_too_many(start, phone):
    await phone.change(device_limit=1)
    first = await start("first")
    assert await phone.scan(await first.qr()) == "confirmed"
    await first.until("Connected")
    second = await start("second")
    assert await phone.scan(await second.qr()) == "device-limit"


async def test_no_refs_are_an_expiry_at_once(emulator, start, tag):
    await emulator.settings(tag, refs=0)
    client = await start()
    assert await client.word() == "timeout"


async def test_the_server_ends_an_unlinked_connection_when_the_time_is_over(emulator, start, tag):
    await emulator.settings(tag, pairing_seconds=0.5)
    client = await start()
    await client.qr()
    assert await client.word(seconds=PATIENCE) == "timeout"
