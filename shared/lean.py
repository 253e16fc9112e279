"""A quick start: modules that nobody here uses are not loaded. Import it before anything else; `ready` ends it.

structlog draws tracebacks by rich if it is there, and PyJWT signs by cryptography: 11 MB and 0.1 s in each process.
Both do without. Little is garbage while modules are loaded, and looking for it takes another 0.05 s.
"""

import gc
import sys
from types import ModuleType

_USUAL = gc.get_threshold()
_UNUSED = [name for name in ("rich", "cryptography") if name not in sys.modules]
_EMPTY = {
    "jwt.jwks_client": ("PyJWKClient",),
    "pydantic.plugin._loader": ("get_plugins",),  # it reads every installed package's description for them
    "uvicorn.main": ("Server", "main", "run"),  # the command line, which brings click
}
"""Modules that only their package's own beginning asks for names, and the names, which stand for nothing. 2 MB and 0.06 s."""

gc.set_threshold(100_000)
for _name in _UNUSED:
    sys.modules[_name] = None  # type: ignore[assignment]  # so that its import raises ImportError
for _name, _names in _EMPTY.items():
    if _name not in sys.modules:
        sys.modules[_name] = ModuleType(_name)
        vars(sys.modules[_name]).update(dict.fromkeys(_names, tuple))
import jwt  # noqa: E402, F401
import structlog  # noqa: E402, F401

for _name in _UNUSED:
    del sys.modules[_name]
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's command line, which brings rich


def ready() -> None:
    """Look for garbage as usual from now on, but not in what was loaded."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
