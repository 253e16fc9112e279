"""Baileys, unmodified, against the emulator: where it disagrees with neonize and the emulator, the emulator is wrong."""

import asyncio

OTHER = "79019999999"
LOGGED_OUT = 401


async def test_it_links_by_qr_resumes_sends_and_is_logged_out_by_the_phone(emulator, baileys, phone):
    async with baileys() as client:
        qr = await client.until("qr")
        assert await phone.scan(qr["text"]) == "confirmed"
        opened = await client.until("open")
        assert opened["me"]["id"].startswith(f"{phone.number}:")
        sent = await _send(client, OTHER, "from Baileys")
        await emulator.wait_for("message.received", phone=phone.number)
        assert sent["id"]
    async with baileys() as client:
        await client.until("open")
        assert [device["online"] for device in await phone.devices()] == [True]
        assert await phone.logout() != []
        assert (await client.until("close", code=LOGGED_OUT))["code"] == LOGGED_OUT


async def test_it_links_by_code_and_logs_itself_out(baileys, phone):
    async with baileys() as client:
        await client.until("qr")
        await client.do("code", phone=phone.number)
        code = await client.until("code")
        typing = asyncio.create_task(phone.type_code(code["text"]))
        await client.until("open")
        assert await typing == "confirmed"
        await client.do("logout")
        await client.until("close", code=LOGGED_OUT)
        assert await phone.devices() == []


async def test_texts_go_both_ways(emulator, baileys, phone):
    contact = emulator.phone(OTHER)
    async with baileys() as client:
        qr = await client.until("qr")
        assert await phone.scan(qr["text"]) == "confirmed"
        await client.until("open")
        said = await contact.say(phone.number, "hello, Baileys")
        heard = await client.until("message", id=said)
        assert heard["text"] == "hello, Baileys"
        await _send(client, OTHER, "hello, phone")
        received = await emulator.wait_for("message.received", phone=phone.number)
        assert received.detail["text"] == "hello, phone"


async def test_it_comes_back_to_the_machine_that_edge_routing_named(emulator, baileys, phone, tag):
    async with baileys() as client:
        qr = await client.until("qr")
        assert await phone.scan(qr["text"]) == "confirmed"
        await client.until("open")
        await phone.live("edge-routing")
        await _send(client, OTHER, "what is sent later is heard later")
    async with baileys() as client:
        await client.until("open")
    assert not [event for event in await emulator.events(tag=tag) if event.kind == "stanza.unknown"]


async def _send(client, to, text):
    await client.do("send", to=to, text=text)
    return await client.until("sent")
