"""A quick start: modules that nobody here uses are not loaded. Import it before anything else; `ready` ends it.

structlog draws tracebacks by rich if it is there, and PyJWT signs by cryptography: 11 MB and 0.1 s in each process.
Both do without. Little is garbage while modules are loaded, and looking for it takes another 0.05 s.

Until web or a worker listens for SIGINT, that ends it as SIGTERM does, without a traceback: there is nothing to undo yet.
"""

import ctypes
import enum
import gc
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

_started = getattr(sys.modules["__main__"].__spec__, "name", "")
if _started in {"app.main", "workers.main"}:  # not a test, which imports them
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _version(package: str) -> str:
    """The version of an installed package, by the name of its folder. Raises StopIteration if there is none."""
    found = next(one for folder in sys.path for one in Path(folder).glob(f"{package}-*.dist-info"))
    return found.stem.partition("-")[2]


_USUAL = gc.get_threshold()
_STAND_INS: dict[str, SimpleNamespace | None] = {
    "cryptography": None,  # so that its import raises ImportError
    "greenlet": None,  # in development alone: structlog would count by it
    # Its way to a version brings email and zipfile.
    "importlib.metadata": SimpleNamespace(version=_version, PackageNotFoundError=StopIteration),
    "jwt.jwks_client": SimpleNamespace(PyJWKClient=tuple),
    "logging.config": SimpleNamespace(),  # uvicorn asks for it, and is told not to log by it
    # zint asks it for kinds of enum.
    "pydoc": SimpleNamespace(locate=lambda name: getattr(enum, name.rpartition(".")[2])),
    "redis.asyncio.cluster": SimpleNamespace(RedisCluster=tuple),
    "redis.cluster": SimpleNamespace(RedisCluster=tuple),
    "redis.commands.cluster": SimpleNamespace(
        READ_COMMANDS=tuple, AsyncRedisClusterCommands=object, RedisClusterCommands=object
    ),
    "rich": None,
    "starlette.formparsers": SimpleNamespace(FormParser=tuple, MultiPartException=OSError, MultiPartParser=tuple),
    "uvicorn.main": SimpleNamespace(Server=tuple, main=tuple, run=tuple),  # the command line, which brings click
}
"""In place of modules that are asked for names while others are loaded; tuples stand for what is never used. 5 MB."""
_placed = _STAND_INS.keys() - sys.modules.keys()

gc.set_threshold(100_000)
sys.modules.update((name, _STAND_INS[name]) for name in _placed)  # type: ignore[misc]  # they need be no modules
# For good: models are made later too, and it would read every installed package's description.
sys.modules.setdefault("pydantic.plugin._loader", SimpleNamespace(get_plugins=tuple))  # type: ignore[arg-type]
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's command line, which brings rich


def ready() -> None:
    """Let imports find the true modules from now on, and look for garbage as usual, but not in what was loaded. Idempotent."""
    while _placed:
        del sys.modules[_placed.pop()]
    gc.freeze()
    gc.set_threshold(*_USUAL)


def give_back() -> None:
    """Give the system back what was needed for a moment: glibc keeps it, in pages that it might use again. Idempotent."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
