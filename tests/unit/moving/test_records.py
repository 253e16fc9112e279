"""Signal's records go from one library's form to the other's and back without losing what matters."""

import json
from base64 import b64decode

import pytest

from tests.each import each
from tests.unit.moving.made import Made, b64, private_of, typed
from workers.moving.baileys import BaileysSession, NotImportable, decode
from workers.moving.curve import clamped, derive, is_signed, public_of
from workers.moving.identity import read_device
from workers.moving.records import from_sender_key, from_session, to_sender_key, to_session
from workers.moving.rows import rows_of

MADE = Made()
DEVICE = read_device(MADE.creds)


def test_the_newest_open_session_is_the_current_one():
    stored, identity = to_session(MADE.session(), DEVICE)
    record = json.loads(stored)
    state = record["SessionState"]
    assert identity == MADE.contact.public
    assert state["SenderBaseKey"] == b64(typed(MADE.base.public))
    assert len(record["PreviousStates"]) == 1
    assert state["LocalIdentityPublic"] == b64(typed(MADE.identity.public))
    assert state["PendingPreKey"] == {
        "PreKeyID": {"Value": 5, "IsEmpty": False},
        "SignedPreKeyID": 8,
        "BaseKey": b64(typed(MADE.base.public)),
    }


def test_counters_begin_one_higher_and_skipped_keys_are_derived():
    state = json.loads(to_session(MADE.session(), DEVICE)[0])["SessionState"]
    assert state["SenderChain"]["ChainKey"]["Index"] == 0
    closed, living = state["ReceiverChains"]
    assert closed["ChainKey"] == {"Key": b64(bytes(32)), "Index": 4}
    assert living["ChainKey"] == {"Key": b64(b"t" * 32), "Index": 7}
    (key,) = living["MessageKeys"]
    assert key["Index"] == 4
    assert b64decode(key["CipherKey"]) + b64decode(key["MacKey"]) + b64decode(key["IV"]) == derive(
        b"s" * 32, 80, b"WhisperMessageKeys"
    )


def test_a_session_comes_back_as_it_went_but_for_skipped_keys():
    there = to_session(MADE.session(), DEVICE)[0]
    back = from_session(there, 1)
    again = json.loads(to_session(back, DEVICE)[0])
    expected = json.loads(there)
    for state in (expected["SessionState"], *expected["PreviousStates"]):
        for chain in state["ReceiverChains"]:
            chain["MessageKeys"] = []
    assert again == expected


def test_a_session_that_cannot_send_is_left_out():
    record = MADE.session()
    for entry in record["_sessions"].values():
        entry["indexInfo"]["closed"] = 5
    assert to_session(record, DEVICE) is None


@each("record", [{"_sessions": {"a": {}}}, {"_sessions": {"a": {"indexInfo": {"closed": -1}}}}])
def test_a_damaged_session_is_refused(record):
    with pytest.raises(NotImportable):
        to_session(record, DEVICE)
    with pytest.raises(NotImportable):
        from_session(b"{}", 1)


def test_group_keys_stand_newest_first_here_and_last_there():
    stored = to_sender_key(MADE.sender_key())
    assert [one["KeyID"] for one in json.loads(stored)["SenderKeyStates"]] == [2, 1]
    back = from_sender_key(stored)
    assert back == json.loads(decode(MADE.sender_key()))


def test_rows_carry_everything_and_hold_the_place_of_used_prekeys():
    rows, counts = rows_of(BaileysSession("salon", MADE.creds, MADE.keys), DEVICE)
    assert counts == {
        "prekeys": 2,
        "sessions": 1,
        "group keys": 1,
        "lids": 2,
        "app state keys": 1,
        "privacy tokens": 1,
    }
    assert [row["key_id"] for row in rows["pre_keys"]] == [28, 29, 30]
    assert {row["their_id"] for row in rows["identity_keys"]} == {"280000000000009_1:0", "270000000000001_1:0"}
    (device,) = rows["device"]
    assert device["noise_key"] == clamped(private_of(MADE.noise))
    assert {(row["lid"], row["pn"]) for row in rows["lid_map"]} == {
        ("280000000000009", "79110000009"),
        ("270000000000001", "79001230001"),
    }
    assert rows["app_state_sync_keys"][0]["fingerprint"] == b"\x08\xac\x02\x10\x01\x1a\x02\x00\x01"


def test_a_damaged_value_costs_only_itself():
    keys = MADE.keys | {
        "pre-key": {"x": {}, "28": {"private": 5}, "29": MADE.keys["pre-key"]["29"]},
        "session": {"a.0": {"_sessions": {"b": 1}}},
        "lid-mapping": {"1": "2", "3": 4},
    }
    rows, counts = rows_of(BaileysSession("salon", MADE.creds, keys), DEVICE)
    assert (counts["damaged prekeys"], counts["damaged sessions"], counts["damaged lids"]) == (2, 1, 1)
    assert "sessions" not in rows


def test_the_curve_agrees_with_the_emulators():
    message = b"hello"
    signature = MADE.identity.sign(message)
    assert public_of(private_of(MADE.identity)) == MADE.identity.public
    assert public_of(clamped(private_of(MADE.identity))) == MADE.identity.public
    assert is_signed(MADE.identity.public, message, signature)
    assert not is_signed(MADE.identity.public, b"hallo", signature)
    assert not is_signed(MADE.identity.public, message, signature[:63])
