"""App state: the settings and contacts that an account's devices share, as a snapshot and patches that prove each other.

Source: whatsmeow appstate/ (keys.go, hash.go, lthash) and proto/waServerSync, proto/waSyncAction.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field

from emulator.wire import protobuf as wire
from emulator.wire.keys import hkdf
from emulator.wire.signal import cbc_seal

_SET = b"\x01"
_LANES = 64


@dataclass(frozen=True, slots=True)
class StateKey:
    """The key that a phone shares with its devices."""

    id: bytes
    data: bytes

    @staticmethod
    def generate() -> StateKey:
        return StateKey(os.urandom(6), os.urandom(32))

    def parts(self) -> tuple[bytes, ...]:
        """For indexes, values, the values' MACs, snapshots and patches."""
        whole = hkdf(self.data, 160, info=b"WhatsApp Mutation Keys")
        return tuple(whole[at : at + 32] for at in range(0, 160, 32))

    def share(self, at_ms: int) -> bytes:
        """The message in which a phone tells it (protocolMessage 12, type 6, appStateSyncKeyShare 7)."""
        fingerprint = wire.write({1: 1, 2: 1})
        key = wire.write({1: wire.write({1: self.id}), 2: wire.write({1: self.data, 2: fingerprint, 3: at_ms})})
        return wire.write({12: wire.write({2: 6, 7: wire.write({1: key})})})


def contact(number: str, lid: str, name: str, at_ms: int) -> tuple[list[str], bytes]:
    """Index and value (SyncActionValue: timestamp 1, contactAction 3) of one entry of the address book."""
    action = wire.write({1: name, 2: name.split(maxsplit=1)[0], 3: f"{lid}@lid"})
    return ["contact", f"{number}@s.whatsapp.net"], wire.write({1: at_ms, 3: action})


@dataclass(slots=True)
class Collection:
    """One collection (`critical_unblock_low`, …) of an account, at its newest version."""

    name: str
    key: StateKey
    version: int = 0
    sum: list[int] = field(default_factory=lambda: [0] * _LANES)
    records: list[bytes] = field(default_factory=list)
    patches: dict[int, bytes] = field(default_factory=dict)

    def add(self, entries: list[tuple[list[str], bytes]]) -> None:
        """One more version, with these entries in it. No index may come twice."""
        self.version += 1
        macs, mutations = b"", []
        for index, value in entries:
            record, mac = self._record(json.dumps(index, separators=(",", ":")).encode(), value)
            self.records.append(record)
            mutations.append(wire.write({1: 0, 2: record}))
            self._mix(mac)
            macs += mac
        snapshot_mac = self._snapshot_mac()
        signed = snapshot_mac + macs + self.version.to_bytes(8) + self.name.encode()
        patch_mac = hmac.digest(self.key.parts()[4], signed, hashlib.sha256)
        # SyncdPatch: version 1, mutations 2, snapshotMAC 4, patchMAC 5, keyID 6
        self.patches[self.version] = wire.write(
            {2: mutations, 4: snapshot_mac, 5: patch_mac, 6: wire.write({1: self.key.id})}
        )

    def snapshot(self) -> bytes:
        """All of it (SyncdSnapshot: version 1, records 2, mac 3, keyID 4)."""
        version, key = wire.write({1: self.version}), wire.write({1: self.key.id})
        return wire.write({1: version, 2: self.records, 3: self._snapshot_mac(), 4: key})

    def after(self, version: int) -> list[bytes]:
        """The patches that a device at `version` has not got, each with its version."""
        found = [(number, patch) for number, patch in self.patches.items() if number > version]
        return [wire.write({1: wire.write({1: number})}) + patch for number, patch in found]

    def _record(self, index: bytes, value: bytes) -> tuple[bytes, bytes]:
        """SyncdRecord (index 1, value 2, keyID 3) and the MAC of its value."""
        index_key, value_key, mac_key, *_ = self.key.parts()
        # SyncActionData: index 1, value 2, padding 3, version 4
        plain = wire.write({1: index, 2: value, 3: b"", 4: 2})
        iv = os.urandom(16)
        sealed = iv + cbc_seal(value_key, iv, plain)
        named = _SET + self.key.id
        mac = hmac.digest(mac_key, named + sealed + len(named).to_bytes(8), hashlib.sha512)[:32]
        index_mac = hmac.digest(index_key, index, hashlib.sha256)
        parts = {1: wire.write({1: index_mac}), 2: wire.write({1: sealed + mac}), 3: wire.write({1: self.key.id})}
        return wire.write(parts), mac

    def _mix(self, mac: bytes) -> None:
        """LTHash: the order of the entries does not matter."""
        lanes = hkdf(mac, 2 * _LANES, info=b"WhatsApp Patch Integrity")
        for lane in range(_LANES):
            self.sum[lane] = (self.sum[lane] + int.from_bytes(lanes[2 * lane : 2 * lane + 2], "little")) % 65536

    def _snapshot_mac(self) -> bytes:
        whole = b"".join(lane.to_bytes(2, "little") for lane in self.sum)
        return hmac.digest(self.key.parts()[3], whole + self.version.to_bytes(8) + self.name.encode(), hashlib.sha256)
