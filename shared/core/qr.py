"""The QR text as a picture, and its clock."""

from itertools import groupby

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


def _strokes(modules: int) -> str:
    """The piece of a row's path for eight modules, the first in the lowest bit."""
    runs = ((dark, len(list(run))) for dark, run in groupby(range(8), lambda place: modules >> place & 1))
    return "".join(f"h{length}" if dark else f"m{length} 0" for dark, length in runs)


_STROKES = [_strokes(modules) for modules in range(256)]


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
    # Drawn by ourselves: the library makes each run of modules a rectangle of its own. Eight modules are one look into a
    # table, which takes 0.05 ms for all; the runs themselves would take 0.3 ms.
    rows, size = symbol.encoded_data, symbol.width + 2 * _QUIET
    data, stride, used = rows.tobytes(), rows.nbytes // len(rows), (symbol.width + 7) // 8
    path: list[str] = []
    for row in range(symbol.rows):
        path.append(f"M{_QUIET} {row + _QUIET}.5")
        path += map(_STROKES.__getitem__, data[row * stride : row * stride + used])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">'
        f'<path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path stroke="#000" d="{"".join(path)}"/></svg>'
    )
