"""The QRs of one connection: which number the page is told, and how long each lives. Pure."""

from shared.core import qr
from shared.core.datum import Datum
from shared.core.protocol import QrView


class Rotation(Datum):
    """The QR texts of a connection so far. `number` is that of the newest, `dies` (ms since the epoch) the moment when
    the last one is over; both are 0 before the first. `refreshed`: WhatsApp took back the QR on screen, and the newest
    stands in its place."""

    number: int = 0
    dies: int = 0
    refreshed: bool = False
    ref: str = ""

    def next(self, text: str, born: int, life: int) -> tuple["Rotation", QrView]:
        """The rotation with a QR text that came at `born`, and its view; `life` (ms) is that of the whole rotation.

        A text with the ref of the one before is the same QR with another secret (companion_reg_refresh): it begins its
        time again, and with it the rest of the rotation.
        """
        ref = _ref_of(text)
        refreshed = ref == self.ref
        number = self.number if refreshed else self.number + 1
        dies = self.dies
        if refreshed or number == 1:
            dies = born + life - sum(qr.life_of(past) for past in range(1, number))
        view = QrView(text=text, svg=qr.svg(text), number=number, of=qr.COUNT, expires_at=born + qr.life_of(number))
        return Rotation(number, dies, refreshed, ref), view


def _ref_of(text: str) -> str:
    """The ref in a QR text: the first of the parts behind the `#` of its link (whatsmeow pair.go)."""
    return text.rpartition("#")[2].partition(",")[0]
