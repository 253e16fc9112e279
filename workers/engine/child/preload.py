"""Modules that the zygote loads once so that its children share them: all of neonize and of ours, but not its Go library.

Go's runtime does not survive a fork, so the library must be loaded in the child; Python modules do. Measured in a child
that has loaded the library: private memory 52 MB without this module, 11 MB with it; and 0.40 s less of processor time.
"""

import gc
import importlib
import importlib.util
import sys
import types
from pathlib import Path

#: What neonize imports for pictures, previews and files, and protobuf for messages in Python: 29 MB and 0.3 s of the zygote.
_UNUSED = (
    "google.protobuf.internal.python_message",
    "magic",
    "neonize.ext.interactive_message",
    "neonize.ext.interactive_message.base",
    "neonize.utils.ffmpeg",
    "neonize.utils.iofile",
    "bs4",
    "httpx",
    "linkpreview",
    "linkpreview.exceptions",
    "phonenumbers",
    "PIL",
    "PIL.Image",
    "requests",
    "requests.exceptions",
    "segno",
    "tqdm",
)
#: A test proves that a child needs nothing else.
_OURS = ("workers.engine.child.confine", "workers.engine.child.linker", "workers.engine.child.holder")
#: The part of neonize that loads the library.
_BINDER = "neonize._binder"
_unbound: list[tuple[types.ModuleType, str]] = []
"""Modules and names in them that only the library can fill."""


class _Unused(types.ModuleType):
    """Stands in the place of a package. Each of its names is a class that cannot be used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        unusable = type(name, (Exception,), {"__init__": _refuse, "__module__": self.__name__})
        return sys.modules.get(f"{self.__name__}.{name}") or unusable


def _refuse(unused: object) -> None:
    raise NotImplementedError(type(unused).__name__)


def preload() -> None:
    """Import it all and freeze it out of the garbage collector, whose marks would unshare the pages.

    neonize's submodules come without its `__init__`, which imports its synchronous client, and that loads the library. The
    children need only the asynchronous one, and are 1.3 MB smaller and 60 ms faster without the other.
    """
    if (spec := importlib.util.find_spec("neonize")) is None:
        raise ImportError("neonize is not installed")
    sys.modules.update((name, _Unused(name)) for name in (*_UNUSED, _BINDER))
    vars(sys.modules["neonize.utils.ffmpeg"])["check_ffmpeg_available"] = tuple  # a client asks at its start
    sys.modules["neonize"] = importlib.util.module_from_spec(spec)
    for name in _OURS:
        importlib.import_module(name)
    del sys.modules[_BINDER]
    # Looked up here: a child that did would copy the pages of all that it looks at.
    installed = next(Path(sys.modules["neonize"].__path__[0]).glob("neonize-*.so")).name
    sys.modules["neonize.utils.platform"].generated_name = lambda *_: installed  # type: ignore[attr-defined]
    for user in (sys.modules["neonize.aioze.client"], sys.modules["workers.engine.child.client"]):
        _unbound.extend((user, one) for one, it in vars(user).items() if getattr(it, "__module__", "") == _BINDER)
    # A fork keeps only the thread that forks, and neonize has begun another.
    log = sys.modules["neonize.utils.log"]
    log._log_queue.put(None)  # noqa: SLF001
    log._thread.join()  # noqa: SLF001
    gc.collect()
    gc.freeze()


def load_library(library: str | None) -> None:
    """Load this file, an absolute path, or the installed one, and give it to those who were imported without it.

    neonize joins its own folder and the name that it is given here, and an absolute path wins. By itself it asks a shell.
    """
    if library is not None:
        sys.modules["neonize.utils.platform"].generated_name = lambda *_: library  # type: ignore[attr-defined]
    binder = importlib.import_module(_BINDER)
    for user, known in _unbound:
        setattr(user, known, getattr(binder, known))
