"""Parts of snapshots, and reading a QR from a screenshot."""

from typing import Any

from emulator.phone import pictures
from shared.core import qr
from tests.page.server import now

QR_TEXT = "https://wa.me/settings/linked_devices#2@" + "k3Vq9s0ZC8f1m4y7Jp2LrT6xWb5NdHgQeUaO" * 5
MASKED = "+7 •••••• 45 67"


def a_qr(*, number: int = 1, seconds: float = 42, text: str = QR_TEXT) -> dict[str, Any]:
    """A QR that stands for `seconds` more."""
    return {
        "text": text,
        "svg": qr.svg(text),
        "number": number,
        "of": qr.COUNT,
        "expiresAt": now() + int(seconds * 1000),
    }


def a_code(*, seconds: float = 130, text: str = "ABCD-EFGH") -> dict[str, Any]:
    """A code that stands for `seconds` more."""
    return {"text": text, "expiresAt": now() + int(seconds * 1000), "phone": MASKED}


def a_device() -> dict[str, Any]:
    """The device as linked just now."""
    return {"phone": MASKED, "name": "Bookwell", "linkedAt": now()}


def deadline(seconds: float = 150) -> int:
    """A deadline in `seconds`."""
    return now() + int(seconds * 1000)


def read_qr(png: bytes) -> str:
    """The text of the QR on a screenshot, or an empty one."""
    try:
        return pictures.read_qr(png)
    except pictures.NoQrFound:
        return ""
