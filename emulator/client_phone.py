"""Being the phone of one number, from a test. Part of emulator.client."""

from __future__ import annotations

import base64
from typing import Any, Protocol

from emulator.faults import Fault
from emulator.phone.phone import Outcome


class Control(Protocol):
    """What calls the control port: emulator.client.Emulator."""

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON."""


class Phone:
    """The phone of one number."""

    def __init__(self, control: Control, number: str) -> None:
        self._control, self.number = control, number

    async def _call(self, method: str, path: str = "", body: object = None) -> Any:
        return await self._control.call(method, f"/phones/{self.number}{path}", body)

    async def scan(self, qr: str | bytes) -> Outcome:
        """Scans a QR: its text, or the bytes of a picture (PNG, JPEG) on which it stands."""
        body = {"qr": qr} if isinstance(qr, str) else {"png_base64": base64.b64encode(qr).decode()}
        return Outcome((await self._call("POST", "/scan", body))["outcome"])

    async def type_code(self, code: str) -> Outcome:
        """Types a pairing code and waits for what the phone says."""
        return Outcome((await self._call("POST", "/type", {"code": code}))["outcome"])

    async def devices(self) -> list[dict[str, Any]]:
        """The linked devices: id, os, linked_at, last_seen, online, prekeys."""
        return list((await self._call("GET", "/devices"))["devices"])

    async def logout(self, device: int | None = None) -> list[int]:
        """Unlinks one device or all; the ids of those that were linked."""
        return list((await self._call("POST", "/logout", {"device": device}))["logged_out"])

    async def behave(self, *rules: Fault | str | dict[str, Any]) -> None:
        """The phone's lasting behaviour, instead of any earlier one; without arguments it is a good phone again."""
        bodies = [rule if isinstance(rule, dict) else {"fault": str(rule)} for rule in rules]
        await self._call("PUT", "/behaviour", {"rules": bodies})

    async def change(self, **account: str | int) -> None:
        """Changes name, business_name, platform or device_limit."""
        await self._call("PUT", "", account)

    async def forget(self) -> None:
        """Unlinks all and forgets the number."""
        await self._call("DELETE")
