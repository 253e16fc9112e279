"""The QR text as a picture, and its clock."""

import io

import segno

FIRST_MS = 60_000
NEXT_MS = 20_000
COUNT = 6
"""Six codes a connection: the first stands 60 s, the others 20 s (whatsmeow's qrchan.go; measured)."""

LIFE_MS = FIRST_MS + (COUNT - 1) * NEXT_MS
"""160 s from the first QR: after that WhatsApp's library disconnects, and a pairing code dies with it."""


def life_of(number: int) -> int:
    """How long QR `number` (from 1) stands, in ms."""
    return FIRST_MS if number == 1 else NEXT_MS


def svg(text: str) -> str:
    """A complete SVG document, black on white with its quiet zone, that scales without blur."""
    out = io.BytesIO()
    # A given mask spares trying all eight (16 ms → 3 ms); any mask suits a text as random as a QR's.
    segno.make(text, error="l", micro=False, mask=3).save(
        out,
        kind="svg",
        border=4,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        omitsize=True,
    )
    return out.getvalue().decode()
