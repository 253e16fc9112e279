"""Phones and linked devices write to each other: the real neonize opens what our phones seal, and they what it seals."""

import itertools

import pytest

from emulator.client import EmulatorError

_FRIENDS = itertools.count(1)


@pytest.fixture
def friend(emulator):
    """The phone of somebody else."""
    return emulator.phone(f"7911{next(_FRIENDS):07}")


async def sent(client, to, text, do="send"):
    client.tell(do=do, to=to, text=text)
    return (await client.until("sent"))["id"]


@pytest.mark.parametrize("lid", [True, False])
async def test_a_conversation_goes_to_and_fro(emulator, linked, phone, friend, lid):
    await friend.change(receipts="delivered")
    for turn in range(3):
        written = await friend.say(phone.number, f"question {turn}", lid=lid)
        heard = await linked.until("message")
        assert (heard["id"], heard["text"], heard["own"]) == (written, f"question {turn}", False)
        assert friend.number in (heard["sender"], heard["alt"])
        answer = await sent(linked, friend.number, f"answer {turn}")
        assert (await linked.receipts(answer))[0]["ids"] == [answer]
    texts = [(message["to"], message["text"]) for message in await emulator.messages(phone.number)]
    assert texts == [(friend.number, f"answer {turn}") for turn in range(3)]
    got = await emulator.wait_for(
        "receipt.received", phone=phone.number, where=lambda e: e.detail["message_id"] == written
    )
    assert got.detail["to"] == friend.number


async def test_everything_that_a_phone_can_say(linked, phone, friend):
    first = await friend.say(phone.number, "hello")
    assert (await linked.until("message"))["fields"] == ["conversation"]
    await friend.say(phone.number, "again", quoted=first, quoted_text="hello")
    assert (await linked.until("message"))["quoted"] == first
    await friend.react(phone.number, first, "👍", own=True)
    heard = await linked.until("message")
    assert (heard["text"], heard["target"]) == ("👍", first)
    await friend.edit(phone.number, first, "hullo")
    heard = await linked.until("message")
    assert (heard["text"], heard["target"]) == ("hullo", first)
    await friend.delete(phone.number, first)
    heard = await linked.until("message")
    assert (heard["fields"], heard["target"]) == (["protocolMessage"], first)
    for kind in ("image", "document", "audio", "video", "sticker", "location"):
        await friend.say(phone.number, kind=kind)
        assert (await linked.until("message"))["fields"] == [f"{kind}Message"]


async def test_what_the_owner_writes_on_the_phone_is_his_own(linked, phone, friend):
    await phone.say(friend.number, "from the phone itself")
    heard = await linked.until("message")
    assert (heard["own"], heard["text"], heard["chat"]) == (
        True,
        "from the phone itself",
        f"{friend.number}@s.whatsapp.net",
    )


async def test_what_came_while_away_is_there_at_the_login(emulator, linked, start, phone, friend):
    await linked.kill()
    written = [await friend.say(phone.number, f"missed {i}") for i in range(5)]
    seen = await emulator.now()
    again = await start()
    assert [(await again.until("message"))["id"] for _ in written] == written
    assert (await emulator.wait_for("device.connected", after=seen, phone=phone.number)).detail["waited"] == 5
    await again.kill()
    third = await start()
    await third.until("Connected")
    connected = await emulator.wait_for(
        "device.connected", after=seen, phone=phone.number, where=lambda e: e.detail["waited"] < 5
    )
    assert connected.detail["waited"] == 0


async def test_a_number_that_is_not_on_whatsapp(linked, friend):
    await friend.change(on_whatsapp=False)
    linked.tell(do="known", to=friend.number)
    assert (await linked.until("known"))["found"] == [[friend.number, friend.number, False]]
    linked.tell(do="send", to=friend.number, text="?")
    assert "LID" in (await linked.until("failed"))["error"]


async def test_a_number_may_be_written_otherwise_than_the_account_is_named(emulator, linked, phone):
    await emulator.phone("551187654321").change(also=["5511987654321"])
    linked.tell(do="known", to="5511987654321")
    assert (await linked.until("known"))["found"] == [["5511987654321", "551187654321", True]]
    linked.tell(do="send", to="5511987654321", text="olá")  # the lid comes for the account's own name only
    assert "no LID found" in (await linked.until("failed"))["error"]
    await sent(linked, "551187654321", "olá")
    assert [message["to"] for message in await emulator.messages(phone.number)] == ["551187654321"]


async def test_keys_are_refused_for_a_device_or_for_all(emulator, linked, phone, friend):
    await friend.change(companions=2)
    await emulator.arm("keys-refused", phone=friend.number, device=101, times=None)
    await sent(linked, friend.number, "to two of three")
    await emulator.arm("keys-refused", phone="79119999999", times=None)
    await sent(linked, "79119999999", "to nobody")
    known, nobody = await emulator.messages(phone.number)
    assert (known["text"], known["devices"]) == ("to two of three", 3)  # phone, companion 100, our own phone
    assert (nobody["text"], nobody["devices"]) == (None, 1)


@pytest.mark.parametrize("status", [421, 463, 479])
async def test_a_message_is_refused_for_one_receiver(emulator, linked, friend, status):
    await emulator.arm("message-refused", phone=friend.number, status=status)
    linked.tell(do="send", to=friend.number, text="x")
    assert str(status) in (await linked.until("failed"))["error"]
    await sent(linked, friend.number, "x")


async def test_receipts_as_the_receivers_phone_gives_them(emulator, linked, phone, friend):
    await friend.change(receipts="read")
    message = await sent(linked, friend.number, "x")
    kinds = [one["type"] for one in await linked.receipts(message, 2)]
    assert len(set(kinds)) == 2
    await friend.receipt(phone.number, message, "played")
    assert len(await linked.receipts(message, 3)) == 3
    with pytest.raises(EmulatorError, match="sent no message"):
        await friend.receipt(phone.number, "nothing")
    await emulator.arm("receipt-silence", phone=friend.number)
    seen = await emulator.now()
    silent = await sent(linked, friend.number, "y")
    heard = await sent(linked, friend.number, "z")
    await linked.receipts(heard, 2)
    told = [e.detail["message_id"] for e in await emulator.events(seen, phone=phone.number) if e.kind == "receipt.sent"]
    assert set(told) == {heard} != {silent}


async def test_a_phone_that_cannot_open_a_text_gets_it_again(emulator, linked, phone, friend):
    await emulator.arm("retry-receipt", phone=friend.number)
    message = await sent(linked, friend.number, "once more")
    again = await emulator.wait_for("message.resent", phone=phone.number)
    assert again.detail["message_id"] == message
    assert [one["text"] for one in await emulator.messages(phone.number)] == ["once more"]


async def test_a_group_hears_a_linked_device_and_is_heard(emulator, linked, phone, friend):
    third = emulator.phone("79120000001")
    group = await emulator.group("120363000000000001", [friend.number, phone.number, third.number])
    for text in ("first", "second"):
        await sent(linked, "120363000000000001", text, do="group")
        await friend.say(group, f"{text} of a friend")
        while "senderKeyDistributionMessage" in (heard := await linked.until("message"))["fields"]:
            pass  # neonize tells of the key as of a message of its own
        assert (heard["text"], heard["chat"], heard["group"]) == (f"{text} of a friend", group, True)
    assert [message["text"] for message in await emulator.messages(phone.number)] == ["first", "second"]
    with pytest.raises(EmulatorError, match="is in no group"):
        await emulator.phone("79120000009").say(group, "x")
    linked.tell(do="group", to="120363000000000777", text="x")
    await linked.until("failed")


async def test_two_linked_devices_of_two_numbers_write_to_each_other(emulator, linked, start, phone):
    other = emulator.phone("79130000001")
    second = await start("second")
    assert await other.scan(await second.qr()) == "confirmed"
    await second.until("Connected")
    await emulator.wait_for("prekeys.uploaded", phone=other.number)
    await sent(linked, other.number, "from device to device")
    assert (await second.until("message"))["text"] == "from device to device"
    await sent(second, phone.number, "and back")
    assert (await linked.until("message"))["text"] == "and back"


async def test_a_refusal_has_words_for_the_owner(emulator, linked, start, phone):
    await linked.kill()
    await emulator.arm("login-refused", phone=phone.number, status=403, message="m", header="Locked", subtext="Appeal")
    again = await start()
    await again.until("LoggedOut")


async def test_distance_delays_all_and_mixes_nothing_up(emulator, start, phone, tag):
    await emulator.settings(tag, answer_delay=0.1)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Connected")
    for i in range(3):
        client.tell(do="send", to="79119000001", text=str(i))
    assert len({(await client.until("sent"))["id"] for _ in range(3)}) == 3


@pytest.mark.parametrize("told", [True, False])
async def test_a_phone_that_has_new_keys_gets_the_text_again(emulator, linked, phone, friend, told):
    await friend.change(receipts="delivered")
    await linked.receipts(await sent(linked, friend.number, "to the old phone"))
    await friend.reinstall(told=told)
    message = await sent(linked, friend.number, "to the new phone")
    again = await emulator.wait_for("message.resent", phone=phone.number)
    assert again.detail["message_id"] == message
