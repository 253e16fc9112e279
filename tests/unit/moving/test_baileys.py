"""Baileys' sessions are read in every form in which they are kept, and spoilt ones are told apart."""

import json

import pytest

from tests.unit.moving.made import CONTACT, Made, b64, buffer, pair_json
from workers.moving import baileys
from workers.moving.baileys import BaileysSession, NotImportable, decode
from workers.moving.identity import faults, read_device, remarks


def remarked(made):
    return list(remarks(BaileysSession("salon", made.creds, made.keys), read_device(made.creds)))


def stops(made):
    try:
        return faults(read_device(made.creds))
    except NotImportable as error:
        return [str(error)]


@pytest.mark.parametrize(
    "form",
    [
        buffer,
        lambda value: {"type": "Buffer", "data": list(value)},
        lambda value: {str(index): byte for index, byte in enumerate(value)},
        lambda value: {"buffer": True, "data": b64(value)},
        list,
        b64,
        lambda value: b64(value).rstrip("="),
    ],
)
def test_bytes_are_read_in_every_way_that_json_has_them(form):
    value = bytes(range(33))
    assert decode(json.loads(json.dumps(form(value)))) == value


@pytest.mark.parametrize("value", [None, 5, {"data": 1}, ["a"], [256], "not base64!", {"a": 1}])
def test_values_that_are_no_bytes_are_refused(value):
    with pytest.raises(NotImportable):
        decode(value)


def test_a_folder_one_file_and_named_values_hold_the_same_session(tmp_path):
    made = Made()
    folder = baileys.read_folder(made.write(tmp_path / "salon"))
    spelt = {
        "pre-key": "preKeys",
        "session": "sessions",
        "sender-key": "senderKeys",
        "app-state-sync-key": "appStateSyncKeys",
    }
    keys = {spelt.get(kind, kind): values for kind, values in made.keys.items()}
    single = baileys.read_single("salon", json.dumps(json.dumps({"creds": made.creds, "keys": keys})))
    named = {
        f"{kind}-{name}": json.dumps(value) for kind, values in made.keys.items() for name, value in values.items()
    }
    pairs = baileys.read_pairs("salon", json.dumps(json.dumps(made.creds)), named)
    assert folder.creds == single.creds == pairs.creds == made.creds
    assert folder.keys == pairs.keys == single.keys == made.keys
    assert folder.touched > 0


def test_a_damaged_file_is_counted_and_left_out(tmp_path):
    folder = Made().write(tmp_path / "salon")
    (folder / f"session-{CONTACT}_1.0.json").write_text('{"_sessions": {"half')
    (folder / "pre-key-30.json").write_bytes(b"\xff\xfe")
    session = baileys.read_folder(folder)
    assert (session.damaged, session.of("session")) == (2, {})
    assert "2 damaged files are left out" in list(remarks(session, read_device(session.creds)))


@pytest.mark.parametrize("text", [None, "", '{"me": {"id"', "[]", "\x00"])
def test_damaged_creds_are_refused(tmp_path, text):
    folder = Made().write(tmp_path / "salon")
    (folder / "creds.json").unlink()
    if text is not None:
        (folder / "creds.json").write_text(text)
    with pytest.raises(NotImportable, match=r"creds\.json"):
        baileys.read_folder(folder)


def test_a_good_session_has_nothing_against_it():
    device = read_device(Made().creds)
    assert (device.jid, device.row["lid"]) == ("79001230001:7@s.whatsapp.net", "270000000000001:7@lid")
    assert faults(device) + remarked(Made()) == []


OTHER = Made(seed=9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda creds: creds.pop("me"), "it was never linked"),
        (lambda creds: creds["me"].update(id="79001230001@s.whatsapp.net"), "its number names no linked device"),
        (lambda creds: creds.pop("account"), "it was never linked to the end"),
        (lambda creds: creds.pop("noiseKey"), "creds lack keys"),
        (lambda creds: creds.update(registrationId="x"), "creds lack keys"),
        (lambda creds: creds["noiseKey"].update(public=buffer(OTHER.noise.public)), "the noise key do not belong"),
        (
            lambda creds: creds.update(signedIdentityKey=pair_json(OTHER.identity)),
            "the phone did not sign this identity",
        ),
        (lambda creds: creds["signedPreKey"].update(keyPair=pair_json(OTHER.signed)), "is not signed by the identity"),
        (lambda creds: creds["account"].pop("deviceSignature"), "the device's own signature is missing or wrong"),
        (lambda creds: creds["account"].update(accountSignature=b64(bytes(64))), "the phone did not sign"),
        (lambda creds: creds["account"].update(details=b64(b"\xff")), "creds lack keys"),
    ],
)
def test_a_spoilt_session_is_refused_with_its_reason(change, said):
    assert any(said in text for text in stops(Made().changed(change)))


def test_the_phones_key_is_found_where_some_stores_keep_it_alone():
    made = Made().changed(lambda creds: creds["account"].pop("accountSignatureKey"))
    assert stops(made) == []


def test_creds_older_than_their_keys_are_remarked():
    made = Made().changed(lambda creds: creds.update(nextPreKeyId=10))
    assert any("older than the key files" in one for one in remarked(made))
