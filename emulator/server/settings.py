"""The knobs of a tag: how long the server waits, how many refs it gives, what it tolerates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TagSettings:
    """Times are seconds. The defaults are what is believed of the real server (README, "What is unknown").

    refs: QR texts per connection. The client shows the first for 60 s only if there are six, all others for 20 s; with 0 it gives up
        at once (`timeout`) without any QR.
    pairing_seconds: how long after the refs an unlinked connection is closed by the server. The client itself gives up after 160.
    ref_grace: how much longer than it is shown a ref can be scanned.
    code_seconds: life of a pairing code, from the request.
    code_tries: wrong codes until a code dies.
    finish_seconds: from typing a code to the client's answer.
    codes_per_number: code requests of one number in ten minutes before 429; 0 means no limit.
    restart_delay: from the client's signature to the 515.
    goodbye_delay: from a failure or stream error to the close.
    answer_delay: every frame from the server is under way for so long, as if it were that far away; 0.1 is usual.
    life: at which share of occasions (stanzas of a client) something of ordinary life happens; None: as `--life` says.
    minimum_revision: a client whose web version 2.3000.N has a lower N is refused (405), linked or not.
    web_revision: the N that WhatsApp's own page and its worker script name (`GET /`, `GET /sw.js`).
    """

    refs: int = 6
    pairing_seconds: float = 165.0
    ref_grace: float = 20.0
    code_seconds: float = 180.0
    code_tries: int = 3
    finish_seconds: float = 60.0
    codes_per_number: int = 0
    restart_delay: float = 0.0
    goodbye_delay: float = 0.5
    answer_delay: float = 0.0
    minimum_revision: int = 0
    life: float | None = None
    web_revision: int = 1_047_769_893

    def shown_seconds(self, index: int) -> float:
        """Seconds after the offer at which the client stops showing ref `index` (whatsmeow qrchan.go)."""
        first = 60.0 if self.refs == 6 else 20.0
        return first + 20.0 * index
