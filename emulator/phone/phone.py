"""The owner's phone: scans a QR, types a code, shows its linked devices, logs one out.

Everything a phone does returns an outcome: what the owner sees on its screen.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.events import Kind
from emulator.faults import DEFAULT_DELAY, Fault
from emulator.server import login, pairing_code, pairing_qr
from emulator.server.state import Account
from emulator.server.world import Peer, PendingCode, Status, World
from emulator.wire.keys import KeyPair, code_cipher, hkdf
from emulator.wire.nodes import Node

QR_PREFIX = "https://wa.me/settings/linked_devices#"
_BUNDLE_INFO = b"link_code_pairing_key_bundle_encryption_key"


class Outcome(StrEnum):
    """The phone's screen after a scan or a typed code."""

    CONFIRMED = "confirmed"
    NOT_A_CODE = "not-a-code"
    EXPIRED = "expired"
    ALREADY_USED = "already-used"
    COULD_NOT_LINK = "could-not-link"
    WRONG_CODE = "wrong-code"
    NO_CODE_ASKED = "no-code-asked"
    NO_ANSWER = "no-answer"
    OFFLINE = "offline"
    REFUSED = "refused"
    DEVICE_LIMIT = "device-limit"
    UPDATE_WHATSAPP = "update-whatsapp"
    PASSKEY_WANTED = "passkey-wanted"


class Phone:
    """The phone of one number."""

    def __init__(self, world: World, number: str) -> None:
        self._world, self.number = world, number

    @property
    def account(self) -> Account:
        return self._world.state.account(self.number)

    async def scan(self, text: str) -> Outcome:
        """Scans the text of a QR. Returns as soon as the phone has agreed or shows why not."""
        parts = text.strip().removeprefix(QR_PREFIX).split(",")
        try:
            ref, noise_key, identity_key, adv_secret, _ = parts
            keys = [base64.b64decode(part, validate=True) for part in (noise_key, identity_key, adv_secret)]
        except (ValueError, binascii.Error):
            return self._tell(Kind.QR_SCANNED, None, Outcome.NOT_A_CODE)
        offered = self._world.refs.get(ref)
        if offered is None or not offered.alive:
            return self._tell(Kind.QR_SCANNED, offered.connection if offered else None, Outcome.EXPIRED)
        connection = offered.connection
        registration = connection.registration
        if connection.status is not Status.UNLINKED or registration is None:
            return self._tell(Kind.QR_SCANNED, connection, Outcome.ALREADY_USED)
        connection.phone = self.number
        if connection.qr_is_dead or keys[:2] != [connection.client_static, registration.identity_key]:
            return self._tell(Kind.QR_SCANNED, connection, Outcome.COULD_NOT_LINK)
        outcome = await self._consent(connection)
        self._tell(Kind.QR_SCANNED, connection, outcome)
        if outcome is Outcome.CONFIRMED:
            connection.spawn(pairing_qr.confirm(connection, registration, self.account, keys[2]))
        elif outcome is Outcome.PASSKEY_WANTED:
            ask_for_passkey(connection)
        return outcome

    async def type_code(self, code: str) -> Outcome:
        """Types a pairing code (a dash is ignored). Waits for the client's answer, which alone shows whether it was right."""
        code = re.sub(r"[\s-]", "", code).upper()
        if not re.fullmatch(r"[1-9A-HJ-NP-TV-Z]{8}", code):
            return self._tell(Kind.CODE_TYPED, None, Outcome.NOT_A_CODE)
        pending = self._world.codes.get(self.number)
        if pending is None:
            return self._tell(Kind.CODE_TYPED, None, Outcome.NO_CODE_ASKED)
        connection = pending.connection
        if not pending.alive or pending.tries >= connection.settings.code_tries or pending.finish is not None:
            return self._tell(Kind.CODE_TYPED, connection, Outcome.EXPIRED)
        connection.phone = self.number
        outcome = await self._consent(connection)
        if outcome in (Outcome.CONFIRMED, Outcome.PASSKEY_WANTED):
            adv_secret, failed = await self._exchange(pending, code)
            if failed is not None:
                pending.tries += 1
                return self._tell(Kind.CODE_TYPED, connection, failed)
            if outcome is Outcome.CONFIRMED:
                self._world.codes.pop(self.number, None)
                connection.spawn(pairing_qr.confirm(connection, pending.registration, self.account, adv_secret))
            else:
                ask_for_passkey(connection)
        return self._tell(Kind.CODE_TYPED, connection, outcome)

    def logout(self, device_id: int) -> bool:
        """The owner takes a device off the list; False if it is not there."""
        connection = self._world.online.get((self.number, device_id))
        tag = connection.tag if connection else ""
        if not login.unlink(self._world, self.number, device_id, "the owner logged it out", tag=tag):
            return False
        if connection is not None:
            connection.spawn(connection.fail(login.conflict("device_removed"), "logged out on the phone"))
        return True

    def _tell(self, kind: Kind, connection: Peer | None, outcome: Outcome) -> Outcome:
        tag, number = (connection.tag, connection.id) if connection else ("", None)
        self._world.events.add(kind, tag=tag, phone=self.number, connection=number, outcome=outcome)
        return outcome

    async def _consent(self, connection: Peer) -> Outcome:
        """Answer of the phone and its owner to the wish to link."""
        if connection.strike(Fault.PHONE_OFFLINE) is not None:
            return Outcome.OFFLINE
        if connection.strike(Fault.PHONE_WITHOUT_MULTIDEVICE) is not None:
            connection.send(Node("ib", {}, (Node("downgrade_webclient"),)))
            return Outcome.UPDATE_WHATSAPP
        if (rule := connection.strike(Fault.PHONE_DAWDLES)) is not None:
            await asyncio.sleep(DEFAULT_DELAY if rule.delay is None else rule.delay)
        full = len(self.account.devices) >= self.account.device_limit
        if connection.strike(Fault.PHONE_DEVICE_LIMIT) is not None or full:
            return Outcome.DEVICE_LIMIT
        if connection.strike(Fault.PHONE_REFUSES) is not None:
            return Outcome.REFUSED
        if connection.id not in self._world.connections:
            return Outcome.EXPIRED
        if connection.strike(Fault.PHONE_PASSKEY) is not None:
            return Outcome.PASSKEY_WANTED
        return Outcome.CONFIRMED

    async def _exchange(self, pending: PendingCode, code: str) -> tuple[bytes, Outcome | None]:
        """Swaps keys with the client under the code: the ADV secret, or why there is none."""
        registration, account = pending.registration, self.account
        salt, iv, hidden = pending.wrapped[:32], pending.wrapped[32:48], pending.wrapped[48:]
        own_salt, own_iv, ephemeral = os.urandom(32), os.urandom(16), KeyPair.generate()
        companion_ephemeral = await asyncio.to_thread(code_cipher, code, salt, iv, hidden)
        own_hidden = await asyncio.to_thread(code_cipher, code, own_salt, own_iv, ephemeral.public)
        try:
            sealed = await pairing_code.companion_bundle(
                pending, own_salt + own_iv + own_hidden, account.identity.public
            )
        except TimeoutError:
            return b"", Outcome.NO_ANSWER
        try:
            shared = ephemeral.exchange(companion_ephemeral)
            key = hkdf(shared, 32, salt=sealed[:32], info=_BUNDLE_INFO)
            bundle = AESGCM(key).decrypt(sealed[32:44], sealed[44:], None)
        except (InvalidTag, ValueError):
            return b"", Outcome.WRONG_CODE
        if bundle[:64] != registration.identity_key + account.identity.public or len(bundle) != 96:
            return b"", Outcome.COULD_NOT_LINK
        secret = shared + account.identity.exchange(registration.identity_key) + bundle[64:]
        return hkdf(secret, 32, info=b"adv_secret"), None


def ask_for_passkey(connection: Peer) -> None:
    """The notification by which some accounts ask for a WebAuthn assertion (whatsmeow pair-passkey.go)."""
    challenge = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    options = {
        "challenge": challenge,
        "timeout": 60000,
        "rpId": "whatsapp.com",
        "allowCredentials": [],
        "userVerification": "required",
        "extensions": {},
    }
    connection.notify("passkey_prologue_request", Node("passkey_request_options", {}, json.dumps(options).encode()))
