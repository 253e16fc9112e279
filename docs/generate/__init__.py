"""Writes the documents and the page's types that are derived from the code.

python -m docs.generate           write them
python -m docs.generate --check   say which ones are stale; exit code 1 when any is
"""

from collections.abc import Callable
from pathlib import Path

from docs.generate import (
    api,
    countries,
    environment,
    failures,
    keys,
    lifecycle,
    measured,
    performance,
    protocol,
    typescript,
)

ROOT = Path(__file__).resolve().parents[2]

FILES: dict[str, Callable[[], str]] = {
    "docs/api.md": api.page,
    "docs/protocol.md": protocol.browser,
    "docs/pipe.md": protocol.pipe,
    "docs/lifecycle.md": lifecycle.page,
    "docs/failures.md": failures.page,
    "docs/redis-keys.md": keys.page,
    "docs/environment.md": environment.page,
    "docs/measured.md": measured.page,
    "docs/performance.md": performance.page,
    "frontend/protocol.d.ts": typescript.types,
    "frontend/failures.generated.js": typescript.failures,
    "frontend/countries.generated.js": countries.table,
}
"""Every generated file, and what it should hold."""


def stale(root: Path = ROOT) -> list[str]:
    """The files that the code has outgrown, or that are missing."""
    return [
        name
        for name, make in FILES.items()
        if not (root / name).exists() or (root / name).read_text(encoding="utf-8") != make()
    ]


def write(root: Path = ROOT) -> list[str]:
    """Bring them up to date. Returns those that changed."""
    changed = stale(root)
    for name in changed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(FILES[name](), encoding="utf-8")
    return changed
