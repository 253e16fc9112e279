"""Every misbehaviour as the real neonize sees it. The tests follow the catalogue, which is one file too."""

import pytest

from emulator.faults import Fault


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "err-unexpected-state"),
        (401, "err-unexpected-state"),
        (402, "err-unexpected-state"),
        (403, "err-unexpected-state"),
        (405, "err-client-outdated"),
        (409, "err-unexpected-state"),
        (500, "timeout"),
        (503, "timeout"),
    ],
)
async def test_an_unlinked_client_is_refused(emulator, start, tag, status, word):
    await emulator.arm(Fault.CONNECT_REFUSED, tag=tag, status=status)
    client = await start()
    assert await client.word() == word


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (400, "ConnectFailure"),
        (401, "LoggedOut"),
        (402, "TemporaryBan"),
        (403, "LoggedOut"),
        (405, "ClientOutdated"),
        (406, "LoggedOut"),
        (409, "ConnectFailure"),
    ],
)
async def test_a_linked_device_is_refused(emulator, linked, start, phone, status, event):
    await linked.kill()
    await emulator.arm(Fault.LOGIN_REFUSED, phone=phone.number, status=status, ban=102, expire=60)
    again = await start()
    line = await again.until(event)
    if event == "TemporaryBan":
        assert (line["Code"], line["Expire"]) == (2, 60)  # neonize numbers the reasons 101 to 106 anew
    assert len(await phone.devices()) == (0 if status == 401 else 1)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_linked_device_that_is_put_off_comes_back_by_itself(emulator, linked, start, phone, status):
    await linked.kill()
    await emulator.arm(Fault.LOGIN_REFUSED, phone=phone.number, status=status)
    again = await start()
    await again.until("Disconnected")
    await again.until("Connected")


@pytest.mark.parametrize(
    "fault",
    [Fault.CONNECT_HTTP_ERROR, Fault.CONNECT_CUT, Fault.WEBSOCKET_HTTP_ERROR, Fault.HANDSHAKE_BAD_CERTIFICATE],
)
async def test_a_failed_dial_ends_connect(emulator, start, tag, fault):
    await emulator.arm(fault, tag=tag)
    client = await start()
    assert (await client.until("ended"))["error"] != "None"


@pytest.mark.parametrize("status", [400, 403, 429, 452, 500])
async def test_a_code_is_refused_and_the_qr_lives_on(emulator, start, phone, status):
    await emulator.arm(Fault.CODE_REFUSED, phone=phone.number, status=status)
    client = await start()
    qr = await client.qr()
    client.tell(do="code", phone=phone.number)
    assert f"status {status}" in (await client.until("failed"))["error"]
    assert await phone.scan(qr) == "confirmed"
    await client.until("Connected")


async def test_a_cut_while_a_code_is_asked_for(emulator, start, phone):
    await emulator.arm(Fault.CODE_CUT, phone=phone.number)
    client = await start()
    await client.qr()
    client.tell(do="code", phone=phone.number)
    assert await client.word() == "timeout"
    await client.until("failed")


async def test_a_number_that_asks_too_often_is_throttled(emulator, start, phone, tag):
    await emulator.settings(tag, codes_per_number=1)
    client = await start()
    await client.qr()
    await client.code(phone.number)
    client.tell(do="code", phone=phone.number)
    assert "429" in (await client.until("failed"))["error"]


@pytest.mark.parametrize("fault", [Fault.QR_CUT, Fault.REFS_CUT, Fault.PAIR_SUCCESS_CUT])
async def test_a_cut_before_the_client_is_linked_looks_like_an_expiry(emulator, start, phone, tag, fault):
    await emulator.arm(fault, tag=tag)
    client = await start()
    if fault is Fault.PAIR_SUCCESS_CUT:
        assert await phone.scan(await client.qr()) == "confirmed"
    assert await client.word() == "timeout"
    assert await phone.devices() == []


@pytest.mark.parametrize("fault", [Fault.PAIR_WRONG_HMAC, Fault.PAIR_WRONG_SIGNATURE])
async def test_the_client_refuses_a_forged_consent(emulator, start, phone, fault):
    await emulator.arm(fault, phone=phone.number)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    assert await client.word() == "error"
    await emulator.wait_for("pairing.failed", phone=phone.number)
    assert await phone.devices() == []


async def test_a_lost_signature_shows_only_at_the_next_login(emulator, start, phone):
    await emulator.arm(Fault.PAIR_SIGN_LOST, phone=phone.number)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    assert await client.word() == "success"
    await client.kill()
    await (await start()).until("LoggedOut")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.PHONE_OFFLINE, "offline"),
        (Fault.PHONE_REFUSES, "refused"),
        (Fault.PHONE_DEVICE_LIMIT, "device-limit"),
    ],
)
async def test_a_phone_that_does_not_link_leaves_the_qr_alive(emulator, start, phone, fault, outcome):
    await phone.behave(fault)
    client = await start()
    qr = await client.qr()
    assert await phone.scan(qr) == outcome
    await phone.behave()
    assert await phone.scan(qr) == "confirmed"
    await client.until("Connected")


async def test_an_old_phone_cannot_link(phone, start):
    await phone.behave(Fault.PHONE_WITHOUT_MULTIDEVICE)
    client = await start()
    assert await phone.scan(await client.qr()) == "update-whatsapp"
    assert await client.word() == "err-scanned-without-multidevice"


@pytest.mark.parametrize("by", ["qr", "code"])
async def test_an_account_wants_a_passkey(phone, start, by):
    await phone.behave(Fault.PHONE_PASSKEY)
    client = await start()
    qr = await client.qr()
    if by == "qr":
        assert await phone.scan(qr) == "passkey-wanted"
    else:
        assert await phone.type_code(await client.code(phone.number)) == "passkey-wanted"
    assert await client.word() == "passkey-request"


async def test_a_refresh_changes_the_secret_and_the_new_qr_links(emulator, start, phone, tag):
    await emulator.arm(Fault.COMPANION_REG_REFRESH, tag=tag, delay=0.2)
    client = await start()
    old, new = await client.qr(), await client.qr()
    secrets = [qr.split(",")[3] for qr in (old, new)]
    assert secrets[0] != secrets[1]
    assert await phone.scan(new) == "confirmed"
    await client.until("Connected")


async def test_after_a_refresh_the_old_qr_ends_the_attempt(emulator, start, phone, tag):
    await emulator.arm(Fault.COMPANION_REG_REFRESH, tag=tag, delay=0.2)
    client = await start()
    old, _ = await client.qr(), await client.qr()
    assert await phone.scan(old) == "confirmed"
    assert await client.word() == "error"


async def test_a_retired_qr_cannot_be_scanned_and_nobody_says_so(emulator, start, phone, tag):
    await emulator.arm(Fault.QR_RETIRED, tag=tag)
    client = await start()
    qr = await client.qr()
    await emulator.wait_for("fault.fired", tag=tag)
    assert await phone.scan(qr) == "could-not-link"
    assert not client.heard("status")


@pytest.mark.parametrize("fault", [Fault.RESTART_SILENCE, Fault.RESTART_CUT])
async def test_without_the_515_only_a_new_start_logs_in(emulator, start, phone, fault):
    await emulator.arm(fault, phone=phone.number)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    assert await client.word() == "success"
    await emulator.wait_for("fault.fired", phone=phone.number)
    assert not client.heard("Connected")
    await client.kill()
    await (await start()).until("Connected")


@pytest.mark.parametrize(
    "fault", [Fault.RESTART_LATE, Fault.SUCCESS_LATE, Fault.PREKEYS_LATE, Fault.ACTIVE_LATE, Fault.PAIR_SUCCESS_LATE]
)
async def test_what_is_late_comes_all_the_same(emulator, start, phone, fault):
    await emulator.arm(fault, phone=phone.number, delay=0.3)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Connected")


@pytest.mark.parametrize("fault", [Fault.SUCCESS_CUT, Fault.PREKEYS_CUT, Fault.ACTIVE_CUT, Fault.CONNECTED_CUT])
async def test_a_cut_after_linking_is_healed_by_the_client(emulator, start, phone, fault):
    await emulator.arm(fault, phone=phone.number)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Disconnected")
    await client.until("Connected")


async def test_without_success_nothing_comes(emulator, start, phone):
    await emulator.arm(Fault.SUCCESS_SILENCE, phone=phone.number)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await emulator.wait_for("fault.fired", phone=phone.number)
    assert not client.heard("Connected")


async def test_the_device_is_dropped_soon_after_linking(emulator, start, phone):
    await emulator.arm(Fault.DWELL_DROP, phone=phone.number, delay=0.2)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Connected")
    await client.until("LoggedOut")
    assert await phone.devices() == []


async def test_a_session_is_replaced(emulator, start, phone):
    await emulator.arm(Fault.CONFLICT_REPLACED, phone=phone.number)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("StreamReplaced")


@pytest.mark.parametrize("status", [500, 503, 515])
async def test_a_stream_error_is_healed_by_the_client(emulator, start, phone, status):
    await emulator.arm(Fault.STREAM_ERROR, phone=phone.number, status=status)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Connected")
    await client.until("Connected")


async def test_a_message_is_refused(emulator, linked, phone):
    await emulator.arm(Fault.MESSAGE_REFUSED, phone=phone.number, status=463)
    linked.tell(do="send", to="79990000003", text="x")
    assert "463" in (await linked.until("failed"))["error"]


async def test_a_message_that_is_cut_off_arrives_once(emulator, linked, phone):
    await emulator.arm(Fault.MESSAGE_CUT, phone=phone.number)
    linked.tell(do="send", to="79990000003", text="once")
    await linked.until("sent")
    assert [message["text"] for message in await emulator.messages(phone.number)] == ["once"]


async def test_a_rule_of_one_tag_touches_no_other(emulator, start, phone):
    await emulator.arm(Fault.CONNECT_REFUSED, tag="somebody-else", times=None)
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Connected")
