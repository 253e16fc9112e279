"""The QRs of one connection: which number the page is told, and how long each lives."""

from dataclasses import dataclass

from shared.core import qr
from shared.core.protocol import QrView


@dataclass(frozen=True, slots=True)
class Shown:
    """A QR to show. `refreshed`: WhatsApp took back the one on screen, and this one stands in its place."""

    view: QrView
    refreshed: bool


class Rotation:
    """Follows the QR texts of a connection. `number` is that of the newest, `dies` (ms since the epoch) the moment when
    the last one is over; both are 0 before the first."""

    def __init__(self) -> None:
        self.number = 0
        self.dies = 0
        self._ref = ""

    def next(self, text: str, born: int, life: int) -> Shown:
        """The view of a QR text that came at `born`; `life` (ms) is that of the whole rotation.

        A text with the ref of the one before is the same QR with another secret (companion_reg_refresh): it begins its
        time again, and with it the rest of the rotation.
        """
        ref = _ref_of(text)
        refreshed = ref == self._ref
        self._ref = ref
        if not refreshed:
            self.number += 1
        if refreshed or self.number == 1:
            self.dies = born + life - sum(qr.life_of(past) for past in range(1, self.number))
        view = QrView(
            text=text,
            svg=qr.svg(text),
            number=self.number,
            of=qr.COUNT,
            expires_at=born + qr.life_of(self.number),
        )
        return Shown(view, refreshed)


def _ref_of(text: str) -> str:
    """The ref in a QR text: the first of the parts behind the `#` of its link (whatsmeow pair.go)."""
    return text.rpartition("#")[2].partition(",")[0]
