"""The QR text as a picture, and its clock."""

import re

import segno

FIRST_MS = 60_000
NEXT_MS = 20_000
COUNT = 6
"""Six codes a connection: the first stands 60 s, the others 20 s (whatsmeow's qrchan.go; measured)."""

LIFE_MS = FIRST_MS + (COUNT - 1) * NEXT_MS
"""160 s from the first QR: after that WhatsApp's library disconnects, and a pairing code dies with it."""

_QUIET = 4
_DARK = re.compile(rb"\x01+")


def life_of(number: int) -> int:
    """How long QR `number` (from 1) stands, in ms."""
    return FIRST_MS if number == 1 else NEXT_MS


def svg(text: str) -> str:
    """A complete SVG document, black on white with its quiet zone, that scales without blur."""
    # A given mask spares trying all eight (16 ms → 2 ms); any mask suits a text as random as a QR's. Drawn by ourselves:
    # the library's writer takes 2 ms, and this stands between a click and the QR.
    modules = segno.make(text, error="l", micro=False, mask=3).matrix
    size = len(modules) + 2 * _QUIET
    path: list[str] = []
    for y, row in enumerate(modules, _QUIET):
        pen = None  # where the row's last run ended; later runs are drawn from there, which is shorter
        for run in _DARK.finditer(row):
            move = f"M{run.start() + _QUIET} {y}.5" if pen is None else f"m{run.start() - pen} 0"
            path.append(f"{move}h{run.end() - run.start()}")
            pen = run.end()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">'
        f'<path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path stroke="#000" d="{"".join(path)}"/></svg>'
    )
