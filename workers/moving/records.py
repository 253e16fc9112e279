"""Signal's records of contacts and groups, from libsignal-node's JSON (Baileys) to libsignal for Go's (whatsmeow), and back.

Both libraries store JSON; names and two conventions differ. libsignal-node counts the last message key of a chain that it has
made (-1: none yet), Go the next one. libsignal-node keeps the seed of a skipped message key, Go what is derived from it: on
the way back skipped keys are therefore lost, and such a late message is asked for again. A closed chain has no key there; any
key serves here, since it only says that its messages are old.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from workers.moving.baileys import decode, refusing
from workers.moving.curve import derive, typed, untyped
from workers.moving.identity import ForeignDevice

SENDING, RECEIVING = 1, 2
OPEN = -1
MOST_CHAINS, MOST_OLD_STATES, MOST_SENDER_STATES = 5, 40, 5

Record = Mapping[str, Any]


@refusing("a session record is damaged")
def to_session(record: Record, device: ForeignDevice) -> tuple[bytes, bytes] | None:
    """A contact's session for whatsmeow, and the contact's identity key (32 bytes).

    None if the record has no open session that can send: the contact and we make a new one then. Raises NotImportable.
    """
    entries = [one for one in (record.get("_sessions") or {}).values() if isinstance(one, dict)]
    opened = [one for one in entries if one["indexInfo"].get("closed") == OPEN]
    state = _to_state(opened[-1], device) if opened else None
    if state is None:
        return None
    old = sorted(
        (one for one in entries if one is not opened[-1]), key=lambda one: -(one["indexInfo"].get("used") or 0)
    )
    states = [old_state for one in old if (old_state := _to_state(one, device))]
    whole = {"SessionState": state, "PreviousStates": states[:MOST_OLD_STATES]}
    return _dump(whole), untyped(b64decode(state["RemoteIdentityPublic"]))


def _to_state(entry: Record, device: ForeignDevice) -> dict[str, Any] | None:
    ratchet, info = entry["currentRatchet"], entry["indexInfo"]
    own = untyped(decode(ratchet["ephemeralKeyPair"]["pubKey"]))
    sender, receivers = None, []
    for name, chain in entry["_chains"].items():
        public = decode(name)
        key = chain["chainKey"]
        converted = {
            "SenderRatchetKeyPublic": _text(typed(public)),
            "SenderRatchetKeyPrivate": None,
            "ChainKey": {
                "Key": _text(decode(key["key"]) if key.get("key") else bytes(32)),
                "Index": int(key["counter"]) + 1,
            },
            "MessageKeys": [_message_key(decode(seed), int(n)) for n, seed in (chain.get("messageKeys") or {}).items()],
        }
        if chain["chainType"] != SENDING:
            receivers.append(converted)
        elif untyped(public) == own and key.get("key"):
            private = _text(decode(ratchet["ephemeralKeyPair"]["privKey"]))
            sender = converted | {"SenderRatchetKeyPrivate": private, "MessageKeys": []}
    if sender is None:
        return None
    pending = entry.get("pendingPreKey")
    return {
        "LocalIdentityPublic": _text(typed(device.publics["identity_key"])),
        "LocalRegistrationID": device.row["registration_id"],
        "NeedsRefresh": False,
        "PendingKeyExchange": None,
        "PendingPreKey": pending
        and {
            "PreKeyID": {"Value": pending.get("preKeyId") or 0, "IsEmpty": not pending.get("preKeyId")},
            "SignedPreKeyID": pending["signedKeyId"],
            "BaseKey": _text(typed(decode(pending["baseKey"]))),
        },
        "PreviousCounter": max(0, int(ratchet.get("previousCounter") or 0)),
        "ReceiverChains": receivers[-MOST_CHAINS:],
        "RemoteIdentityPublic": _text(typed(decode(info["remoteIdentityKey"]))),
        "RemoteRegistrationID": int(entry.get("registrationId") or 0),
        "RootKey": _text(decode(ratchet["rootKey"])),
        "SenderBaseKey": _text(typed(decode(info["baseKey"]))),
        "SenderChain": sender,
        "SessionVersion": 3,
    }


def _message_key(seed: bytes, index: int) -> dict[str, Any]:
    keys = derive(seed, 80, b"WhisperMessageKeys")
    return {"CipherKey": _text(keys[:32]), "MacKey": _text(keys[32:64]), "IV": _text(keys[64:]), "Index": index}


@refusing("a group's sender key is damaged")
def to_sender_key(value: object) -> bytes | None:
    """A group's sender key for whatsmeow; None if the record is empty. Raises NotImportable.

    Baileys keeps JSON inside a Buffer, the newest state last; Go keeps the newest first.
    """
    states = value if isinstance(value, list) else json.loads(decode(value))
    converted = [
        {
            "Keys": [_group_key(decode(key["seed"]), key["iteration"]) for key in one.get("senderMessageKeys") or []],
            "KeyID": one["senderKeyId"],
            "SenderChainKey": {
                "Iteration": one["senderChainKey"]["iteration"],
                "ChainKey": _text(decode(one["senderChainKey"]["seed"])),
            },
            "SigningKeyPrivate": _text(decode(one["senderSigningKey"].get("private") or b"") or bytes(32)),
            "SigningKeyPublic": _text(typed(decode(one["senderSigningKey"]["public"]))),
        }
        for one in states
    ]
    return _dump({"SenderKeyStates": converted[::-1][:MOST_SENDER_STATES]}) if converted else None


def _group_key(seed: bytes, iteration: int) -> dict[str, Any]:
    keys = derive(seed, 48, b"WhisperGroup")
    return {"Iteration": iteration, "IV": _text(keys[:16]), "CipherKey": _text(keys[16:]), "Seed": _text(seed)}


# --- and back ---------------------------------------------------------------------------------------------------------


@refusing("a session record is damaged")
def from_session(stored: bytes, now: int) -> dict[str, Any]:
    """A contact's session for libsignal-node, as of `now` (ms). Raises NotImportable."""
    record = json.loads(stored)
    states = [record["SessionState"], *(record.get("PreviousStates") or [])]
    entries = [_from_state(one, now, current=index == 0) for index, one in enumerate(states)]
    return {"_sessions": {entry["indexInfo"]["baseKey"]: entry for entry in reversed(entries)}, "version": "v1"}


def _from_state(state: Record, now: int, *, current: bool) -> dict[str, Any]:
    sender, receivers = state["SenderChain"], state.get("ReceiverChains") or []
    chains = {
        sender["SenderRatchetKeyPublic"]: _from_chain(sender, SENDING),
        **{one["SenderRatchetKeyPublic"]: _from_chain(one, RECEIVING) for one in receivers},
    }
    pending = state.get("PendingPreKey")
    entry = {
        "registrationId": state["RemoteRegistrationID"],
        "currentRatchet": {
            "ephemeralKeyPair": {
                "pubKey": sender["SenderRatchetKeyPublic"],
                "privKey": sender["SenderRatchetKeyPrivate"],
            },
            "lastRemoteEphemeralKey": receivers[-1]["SenderRatchetKeyPublic"]
            if receivers
            else state["RemoteIdentityPublic"],
            "previousCounter": state["PreviousCounter"],
            "rootKey": state["RootKey"],
        },
        "indexInfo": {
            "baseKey": state["SenderBaseKey"],
            "baseKeyType": SENDING if pending else RECEIVING,
            "closed": OPEN if current else now,
            "used": now,
            "created": now,
            "remoteIdentityKey": state["RemoteIdentityPublic"],
        },
        "_chains": chains,
    }
    if pending:
        prekey = pending["PreKeyID"]
        entry["pendingPreKey"] = {"signedKeyId": pending["SignedPreKeyID"], "baseKey": pending["BaseKey"]}
        if not prekey["IsEmpty"]:
            entry["pendingPreKey"]["preKeyId"] = prekey["Value"]
    return entry


def _from_chain(chain: Record, kind: int) -> dict[str, Any]:
    key = chain["ChainKey"]
    closed = key["Key"] == _text(bytes(32))
    return {
        "chainKey": {"counter": key["Index"] - 1, **({} if closed else {"key": key["Key"]})},
        "chainType": kind,
        "messageKeys": {},
    }


@refusing("a group's sender key is damaged")
def from_sender_key(stored: bytes) -> list[dict[str, Any]]:
    """A group's sender key for Baileys, its bytes as Buffers, the newest state last. Raises NotImportable."""
    return [
        {
            "senderKeyId": one["KeyID"],
            "senderChainKey": {
                "iteration": one["SenderChainKey"]["Iteration"],
                "seed": buffer(b64decode(one["SenderChainKey"]["ChainKey"])),
            },
            "senderSigningKey": _signing_key(one),
            "senderMessageKeys": [
                {"iteration": key["Iteration"], "seed": buffer(b64decode(key["Seed"]))} for key in one.get("Keys") or []
            ],
        }
        for one in reversed(json.loads(stored)["SenderKeyStates"])
    ]


def _signing_key(state: Record) -> dict[str, Any]:
    public, private = b64decode(state["SigningKeyPublic"]), b64decode(state.get("SigningKeyPrivate") or "")
    return {"public": buffer(public), **({"private": buffer(private)} if any(private) else {})}


def buffer(value: bytes) -> dict[str, str]:
    """Bytes as Baileys writes them in JSON."""
    return {"type": "Buffer", "data": _text(value)}


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
