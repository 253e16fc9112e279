"""What a client does wrong is refused, and the reason stands in the log."""

import base64
import time

import pytest

from emulator.phone.living import Phones
from emulator.phone.phone import Phone
from emulator.rules import Chaos, Rules
from emulator.server.settings import TagSettings
from emulator.server.state import Device, State
from emulator.server.world import World
from emulator.wire.keys import KeyPair
from emulator.wire.nodes import SERVER_JID, Jid, Node
from emulator.wire.words import load_words
from tests.emulator.raw_client import RawClient

NUMBER = "79000000000"


@pytest.fixture
def world(tmp_path):
    made = World(
        load_words(),
        State(tmp_path),
        Rules(Chaos(0, 0)),
        default_settings=TagSettings(goodbye_delay=0, restart_delay=0),
    )
    made.phones = Phones(made)
    return made


@pytest.fixture
async def raw(world):
    client = RawClient(world)
    yield client
    await client.end()


def violations(world):
    return [event.detail["reason"] for event in world.events.since(0) if event.kind == "client.violation"]


def iq(xmlns, *content, kind="set", number="1"):
    return Node("iq", {"id": number, "xmlns": xmlns, "type": kind, "to": SERVER_JID}, content)


async def test_a_wrong_prologue_ends_the_connection(world):
    raw = RawClient(world)
    raw.socket.feed(b"WA\x05\x02\x00\x00\x00")
    await raw.task
    assert violations(world) == ["the prologue is 57410502, not 57410603"]


async def test_a_payload_under_another_hash_is_refused(world, raw):
    await raw.greet(raw.registration(), spoil=True)
    await raw.task
    assert "payload cannot be opened" in violations(world)[0]


async def test_a_prekey_signed_by_a_stranger_is_refused(world, raw):
    await raw.greet(raw.registration(skey_signer=KeyPair.generate()))
    failure = await raw.receive()
    assert (failure.tag, failure.attr("reason")) == ("failure", "400")
    assert violations(world) == ["the signed prekey is not signed by the identity key"]


async def test_a_client_that_is_no_web_client_is_refused(world, raw):
    await raw.greet(raw.registration(platform=0))
    assert (await raw.receive()).attr("reason") == "400"
    assert violations(world) == ["platform 0 is not WEB"]


async def test_a_linked_device_with_another_key_is_refused(world, raw):
    account = world.state.account(NUMBER)
    account.devices[1] = Device(1, bytes(32).hex(), bytes(32).hex(), 1, 1, "raw", 1, 0)
    await raw.greet(raw.login(NUMBER, 1))
    assert (await raw.receive()).attr("reason") == "401"
    assert violations(world) == [f"device 1 of {NUMBER} came with another key"]


async def test_a_device_that_was_never_linked_is_refused_without_blame(world, raw):
    await raw.greet(raw.login(NUMBER, 7))
    assert (await raw.receive()).attr("reason") == "401"
    assert violations(world) == []


@pytest.mark.parametrize("kind", ["registration", "login"])
async def test_a_client_below_the_minimum_revision_is_outdated_linked_or_not(world, raw, kind):
    world.tags["raw"] = TagSettings(goodbye_delay=0, minimum_revision=2)
    await raw.greet(raw.registration() if kind == "registration" else raw.login(NUMBER, 1))
    assert (await raw.receive()).attr("reason") == "405"
    (event,) = [event for event in world.events.since(0) if event.kind == "client.outdated"]
    assert event.detail["minimum"] == 2
    assert event.detail["revision"] < 2
    assert violations(world) == []


async def test_nothing_but_pings_and_codes_is_served_before_the_login(world, raw):
    await raw.greet(raw.registration())
    offer = await raw.receive()
    assert len(offer.child("pair-device").children) == 6
    raw.send(iq("w:p", kind="get", number="ping"))
    assert (await raw.receive()).attr("type") == "result"
    raw.send(iq("usync", kind="get", number="early"))
    assert (await raw.receive()).child("error").attr("code") == "401"
    assert violations(world) == ["usync before the login"]


def companion_hello(raw, **changes):
    parts = {
        "link_code_pairing_wrapped_companion_ephemeral_pub": bytes(80),
        "companion_server_auth_key_pub": raw.noise.public,
        "companion_platform_id": "1",
        "companion_platform_display": "Chrome (Linux)",
        "link_code_pairing_nonce": b"\0",
    } | changes
    attrs: dict[str, str | Jid] = {
        "jid": Jid(NUMBER),
        "stage": "companion_hello",
        "should_show_push_notification": "true",
    }
    return iq("md", Node("link_code_companion_reg", attrs, tuple(Node(tag, {}, data) for tag, data in parts.items())))


async def acknowledged(raw):
    await raw.greet(raw.registration())
    offer = await raw.receive()
    raw.send(Node("iq", {"id": offer.attr("id"), "type": "result", "to": SERVER_JID}))
    return offer


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"companion_platform_display": "Whatsmeow (Linux)"}, "display name"),
        ({"companion_platform_display": "Chrome"}, "display name"),
        ({"companion_platform_id": "Z"}, "companion_platform_id"),
        ({"companion_server_auth_key_pub": bytes(32)}, "not the key of this connection"),
        ({"link_code_pairing_wrapped_companion_ephemeral_pub": bytes(79)}, "wrong length"),
    ],
)
async def test_a_malformed_request_for_a_code_is_refused(world, raw, changes, reason):
    await acknowledged(raw)
    raw.send(companion_hello(raw, **changes))
    assert (await raw.receive()).child("error").attr("code") == "400"
    assert reason in violations(world)[0]


async def test_a_code_before_the_refs_are_acknowledged_is_refused(raw):
    await raw.greet(raw.registration())
    await raw.receive()
    raw.send(companion_hello(raw))
    assert (await raw.receive()).child("error").attr("code") == "428"


async def test_a_finish_that_fits_no_code_is_refused(world, raw):
    await acknowledged(raw)
    raw.send(iq("md", Node("link_code_companion_reg", {"stage": "companion_finish"}, ())))
    assert (await raw.receive()).child("error").attr("code") == "400"
    assert violations(world) == ["a companion_finish that fits no typed code"]


async def test_a_qr_with_another_key_cannot_be_linked(raw, world):
    offer = await acknowledged(raw)
    ref = offer.child("pair-device").children[0].data().decode()
    stranger, own = (base64.b64encode(key.public).decode() for key in (KeyPair.generate(), raw.noise))
    assert await Phone(world, NUMBER).scan(f"{ref},{own},{stranger},{own},1") == "could-not-link"


async def test_a_wrong_device_signature_links_nothing(world, raw):
    offer = await acknowledged(raw)
    ref = offer.child("pair-device").children[0].data().decode()
    noise, own = (base64.b64encode(key.public).decode() for key in (raw.noise, raw.identity))
    assert await Phone(world, NUMBER).scan(f"{ref},{noise},{own},{own},1") == "confirmed"
    success = await raw.receive()
    assert success.child("pair-success", "device").jid("jid") == Jid(NUMBER, device=1)
    sign = Node("device-identity", {"key-index": "1"}, b"\x0a\x00")
    raw.send(Node("iq", {"id": success.attr("id"), "type": "result"}, (Node("pair-device-sign", {}, (sign,)),)))
    assert (await raw.receive()).attr("reason") == "401"
    assert violations(world) == ["pair-device-sign changed the details"]
    assert world.state.account(NUMBER).devices == {}


async def test_a_ref_expires_with_the_qr_that_shows_it(world, raw, monkeypatch):
    offer = await acknowledged(raw)
    ref = offer.child("pair-device").children[0].data().decode()
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 81)
    keys = ",".join(base64.b64encode(key.public).decode() for key in (raw.noise, raw.identity, raw.identity))
    assert await Phone(world, NUMBER).scan(f"{ref},{keys},1") == "expired"
