"""Being the phone of one number, from a test. Part of emulator.client."""

from __future__ import annotations

import base64
from typing import Any, Protocol

from emulator.faults import Fault
from emulator.life import Life
from emulator.phone.phone import Outcome


class Control(Protocol):
    """Caller of the control port: emulator.client.Emulator."""

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

    async def change(self, **account: str | int | bool | list[str]) -> None:
        """Changes name, business_name, platform, device_limit, on_whatsapp, also, receipts or companions (state.Account)."""
        await self._call("PUT", "", account)

    async def say(self, to: str, text: str = "", **more: str | bool) -> str:
        """Writes to a number, or to a group (its id, with `@g.us`); `more`: kind, target, quoted, quoted_text, lid. The message's id."""
        where = {"group": to.removesuffix("@g.us")} if to.endswith("@g.us") else {"to": to.lstrip("+")}
        return str((await self._call("POST", "/say", {**where, "text": text, **more}))["id"])

    async def react(self, to: str, target: str, emoji: str, *, own: bool = False) -> str:
        """Puts an emoji on the message `target`, which the phone itself wrote if it is its `own`."""
        return await self.say(to, emoji, kind="reaction", target=target, target_is_own=own)

    async def edit(self, to: str, target: str, text: str) -> str:
        """Gives other words to a text that this phone wrote."""
        return await self.say(to, text, kind="edit", target=target)

    async def delete(self, to: str, target: str) -> str:
        """Deletes for everyone what this phone wrote."""
        return await self.say(to, kind="deletion", target=target)

    async def live(self, life: Life | str, *, times: int = 1, **more: int) -> None:
        """Something of ordinary life (life.py) happens now to its linked devices; `more`: device, messages, chats."""
        await self._call("POST", "/live", {"life": str(life), "times": times, **more})

    async def receipt(self, sender: str, message_id: str, kind: str = "read") -> None:
        """Says of a message of `sender`'s linked device: delivered, read, played, or retry (it could not be opened)."""
        body = {"sender": sender.lstrip("+"), "message_id": message_id, "type": kind}
        await self._call("POST", "/receipt", body)

    async def reinstall(self, *, told: bool = True) -> None:
        """Moves to a new phone, with new keys; `told`: linked devices that have written to it hear of it."""
        await self._call("POST", "/reinstall", {"told": told})

    async def forget(self) -> None:
        """Unlinks all and forgets the number."""
        await self._call("DELETE")
