"""State that survives a restart: the authorities, and the accounts with their linked devices. One JSON file each,
written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from emulator.files import write_private
from emulator.wire.certs import NoiseAuthority
from emulator.wire.keys import KeyPair

LAST_DEVICE = 99
"""Device numbers run from 1 to this and begin again; an address has one byte for them."""
_FIRST_COMPANION = 100
PHONES_PREKEY_ID = 1
"""The number of a phone's signed prekey: it has one for ever."""


@dataclass(slots=True)
class Device:
    """A linked companion device. Keys are hex; `key_index` is its number in the account's ADV list; times are ms since the epoch.

    `prekeys` counts its one-time keys; `one_time` holds some of them (id and key), `signed_prekey` id, key and signature.
    """

    id: int
    noise_key: str
    identity_key: str
    registration_id: int
    key_index: int
    os: str
    platform: int
    linked_at: int
    last_seen: int = 0
    prekeys: int = 0
    signed_prekey: str = ""
    one_time: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """A phone with WhatsApp on it. `number` is digits, country code first; the seeds are hex (keys.KeyPair).

    `also`: other ways to write the number that lead here. `receipts`: what the phone says of a text that it gets (none: it is away, delivered,
    read, played). `companions`: further devices that nobody runs, but that must be written to.
    """

    number: str
    lid: str
    name: str
    identity_seed: str
    signed_prekey_seed: str
    registration_id: int
    adv_id: int
    business_name: str = ""
    platform: str = "android"
    device_limit: int = 4
    on_whatsapp: bool = True
    also: list[str] = field(default_factory=list)
    receipts: str = "none"
    companions: int = 0
    last_device: int = 0
    last_key_index: int = 0
    devices: dict[int, Device] = field(default_factory=dict)

    @property
    def identity(self) -> KeyPair:
        return KeyPair(bytes.fromhex(self.identity_seed))

    @property
    def signed_prekey(self) -> KeyPair:
        return KeyPair(bytes.fromhex(self.signed_prekey_seed))

    def companion_ids(self) -> list[tuple[int, int]]:
        """Device and key index of everything but the phone."""
        linked = [(device.id, device.key_index) for device in self.devices.values()]
        return linked + [(_FIRST_COMPANION + i, 1000 + i) for i in range(self.companions)]

    def companion_keys(self, number: int) -> tuple[KeyPair, KeyPair] | None:
        """Identity and signed prekey of the phone (0) or of a companion that nobody runs; None if there is none."""
        if number == 0:
            return self.identity, self.signed_prekey
        if not _FIRST_COMPANION <= number < _FIRST_COMPANION + self.companions:
            return None
        seeds = [hashlib.sha256(f"{self.identity_seed} {number} {part}".encode()).digest() for part in (1, 2)]
        return KeyPair(seeds[0]), KeyPair(seeds[1])

    def next_device_id(self) -> int:
        """A number that no linked device has, different from the last one given."""
        for step in range(1, LAST_DEVICE + 1):
            candidate = (self.last_device + step - 1) % LAST_DEVICE + 1
            if candidate not in self.devices:
                return candidate
        raise ValueError(f"{self.number} has {LAST_DEVICE} devices")


def _new_account(number: str) -> Account:
    digest = hashlib.sha256(number.encode()).digest()
    lid = str(10**14 + int.from_bytes(digest[:6]) % 10**14)
    return Account(
        number=number,
        lid=lid,
        name=f"Phone {number[-4:]}",
        identity_seed=os.urandom(32).hex(),
        signed_prekey_seed=os.urandom(32).hex(),
        registration_id=int.from_bytes(os.urandom(2)) & 0x3FFF | 1,
        adv_id=int.from_bytes(os.urandom(4)) | 1,
    )


class State:
    """The state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._accounts_directory = directory / "accounts"
        self._accounts_directory.mkdir(parents=True, exist_ok=True)
        self.accounts: dict[str, Account] = {}
        for path in sorted(self._accounts_directory.glob("*.json")):
            raw = json.loads(path.read_bytes())
            devices = {device["id"]: Device(**device) for device in raw.pop("devices")}
            self.accounts[raw["number"]] = Account(**raw, devices=devices)
        self._numbers_by_lid = {account.lid: account.number for account in self.accounts.values()}
        self._written_otherwise: dict[str, str] = {}
        for account in self.accounts.values():
            self._spread(account)
        self.authority = self._load_authority()

    def _load_authority(self) -> NoiseAuthority:
        path = self.directory / "authority.json"
        if not path.exists():
            fresh = NoiseAuthority.generate()
            seeds = {name: getattr(fresh, name).seed.hex() for name in ("root", "intermediate", "static")}
            write_private(path, json.dumps(seeds, indent=1).encode())
        seeds = json.loads(path.read_bytes())
        return NoiseAuthority(**{name: KeyPair(bytes.fromhex(seed)) for name, seed in seeds.items()})

    def account(self, number: str) -> Account:
        """The account of this number (digits); made at the first mention, kept in memory until `save`."""
        number = self._written_otherwise.get(number, number)
        account = self.accounts.get(number)
        if account is None:
            account = self.accounts[number] = _new_account(number)
            self._numbers_by_lid[account.lid] = number
        return account

    def by_lid(self, lid: str) -> Account | None:
        """The account that hides behind this lid, if it was ever mentioned."""
        number = self._numbers_by_lid.get(lid)
        return self.accounts.get(number) if number else None

    def _spread(self, account: Account) -> None:
        self._written_otherwise |= dict.fromkeys(account.also, account.number)

    def save(self, account: Account) -> None:
        self._spread(account)
        raw = asdict(account)
        raw["devices"] = list(raw["devices"].values())
        write_private(self._accounts_directory / f"{account.number}.json", json.dumps(raw, indent=1).encode())

    def forget(self, number: str) -> None:
        """The number was never here."""
        account = self.accounts.pop(number, None)
        if account is not None:
            self._numbers_by_lid.pop(account.lid, None)
            for other in account.also:
                self._written_otherwise.pop(other, None)
            (self._accounts_directory / f"{number}.json").unlink(missing_ok=True)


def now_ms() -> int:
    return int(time.time() * 1000)
