"""The QR text as a picture, and its clock."""

import re

import zint

FIRST_MS = 60_000
NEXT_MS = 20_000
COUNT = 6
"""Six codes a connection: the first stands 60 s, the others 20 s (whatsmeow's qrchan.go; measured)."""

LIFE_MS = FIRST_MS + (COUNT - 1) * NEXT_MS
"""160 s from the first QR: after that WhatsApp's library disconnects, and a pairing code dies with it."""

_QUIET = 4
_ERROR_LEVEL_L = 1
_MASK = (3 + 1) << 8
"""Any mask suits a text as random as a QR's; trying all eight takes 0.9 ms, this one 0.1."""
_RUNS = re.compile("(0*)(1+)")
_MOVES = ["", *(f"m{length} 0" for length in range(1, 200))]
_LINES = [f"h{length}" for length in range(200)]


def life_of(number: int) -> int:
    """Lifetime of QR `number` (from 1), in ms."""
    return FIRST_MS if number == 1 else NEXT_MS


def svg(text: str) -> str:
    """A complete SVG document, black on white with its quiet zone, that scales without blur."""
    symbol = zint.Symbol()
    symbol.symbology = zint.Symbology.QRCODE
    symbol.option_1 = _ERROR_LEVEL_L
    symbol.option_3 = _MASK
    symbol.encode(text)
    # Drawn by ourselves, in a third of a millisecond: the library makes each run of modules a rectangle of its own.
    rows, width = symbol.encoded_data, symbol.width  # a bit for a module, the first in the lowest
    data, stride = rows.tobytes(), rows.nbytes // len(rows)
    size = width + 2 * _QUIET
    path: list[str] = []
    for row in range(symbol.rows):
        bits = int.from_bytes(data[row * stride : row * stride + (width + 7) // 8], "little")
        path.append(f"M{_QUIET} {row + _QUIET}.5")
        for light, dark in _RUNS.findall(f"{bits:0{width}b}"[::-1]):
            path.append(_MOVES[len(light)])
            path.append(_LINES[len(dark)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">'
        f'<path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path stroke="#000" d="{"".join(path)}"/></svg>'
    )
