"""Modules that the zygote loads once so that its children share them: everything neonize imports, but not its Go
library.

Go's runtime does not survive a fork, so the library must be loaded in the child; Python modules do. Measured in a child
that has loaded the library: private memory 52 MB without this module, 14 MB with it; import 0.40 s and 0.07 s.

Nothing here may start a thread: a fork keeps only the thread that forks (`neonize.utils` starts one at import, so it is
left to the children).
"""

import compileall
import gc
import importlib
import importlib.util
import ssl
import sys
import types
from pathlib import Path

#: Modules that neonize 0.5.2 imports, directly or not; a test proves that a child needs nothing else but neonize itself.
_LIBRARIES = (
    "asyncio",
    "concurrent.futures.thread",
    "ctypes.util",
    "logging",
    "platform",
    "resource",
    "shlex",
    "shutil",
    "socket",
    "sqlite3",
    "uuid",
    "pylibmagic",  # before `magic`: it shows it where libmagic is
    "magic",
    "bs4",
    "google.protobuf.internal.containers",
    "httpx",
    "linkpreview",
    "phonenumbers",
    "PIL.Image",
    "PIL.ImageSequence",
    "requests",
    "segno",
    "tqdm",
)
#: The generated messages that `neonize.aioze.client` imports; they bring the others.
_MESSAGES = (
    "neonize.proto.Neonize_pb2",
    "neonize.proto.waCommon.WACommon_pb2",
    "neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2",
    "neonize.proto.waConsumerApplication.WAConsumerApplication_pb2",
    "neonize.proto.waE2E.WAWebProtobufsE2E_pb2",
    "neonize.proto.waMsgApplication.WAMsgApplication_pb2",
)
_OURS = (
    "workers.engine.child.confine",
    "workers.engine.child.process",
    "workers.engine.devices",
    "workers.engine.child.happenings",
    "workers.engine.pipe",
    "workers.engine.protocol",
)


#: httpx's command line, which brings rich and pygments: 4 MB, and a fifth of the time. httpx expects that it may be missing.
_NEVER = ("httpx._main",)


def preload() -> None:
    """Import it all and freeze it out of the garbage collector, whose marks would unshare the pages."""
    for name in _NEVER:
        sys.modules[name] = None  # type: ignore[assignment]  # so that its import raises ImportError
    for name in _LIBRARIES:
        importlib.import_module(name)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # OpenSSL sets itself up: 2 MB that warmup.py would cost each linker
    _stand_in("neonize")
    for name in (*_MESSAGES, *_OURS):
        importlib.import_module(name)
    # The children may not write beside the code, and would compile what is left of it anew each time.
    compileall.compile_dir(Path(__file__).parent, quiet=2)
    gc.collect()
    gc.freeze()


def _stand_in(name: str) -> None:
    """Put an empty package in the place of `name`, so that its submodules import without its `__init__`.

    That of neonize imports its synchronous client, which loads the library. The children keep the stand-in: they need
    only the asynchronous client, and are 1.3 MB smaller and 60 ms faster without the other.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"{name} is not installed")
    package = types.ModuleType(name)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package


def load_instead(library: str) -> None:
    """Have neonize load this file, an absolute path. To be called before anything imports its `_binder`.

    That joins its own folder and the name that it is given here, and an absolute path wins.
    """
    platform = importlib.import_module("neonize.utils.platform")
    platform.generated_name = lambda *_: library  # type: ignore[attr-defined]
