"""Makes a process of ours trust the emulator: replaces the root key that is compiled into neonize's library.

Python imports this file by itself when its directory is on PYTHONPATH. It only puts a finder in front of `sys.meta_path`,
imports nothing heavy, and waits for `neonize._binder`; then it overwrites the one copy of the key in the library's writable
memory. A finder lives in memory, so it also works in a forked child that loads the library later.

Never part of the product: without WA_EMULATOR_ROOT_KEY in the environment it does nothing.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_BINDER = "neonize._binder"
_GENUINE_KEY = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
"""WhatsApp's public root key, as in whatsmeow handshake.go (WACertPubKey)."""


def _replace_root_key(root_key: bytes) -> None:
    """Overwrites the genuine key in the loaded library's writable memory; ImportError if it is not there exactly once."""
    import ctypes

    replaced = 0
    with open("/proc/self/maps", encoding="utf-8") as maps:
        regions = [line.split(None, 5) for line in maps]
    for region in regions:
        file = region[5].strip().rpartition("/")[2] if len(region) > 5 else ""
        if "w" not in region[1] or not file.startswith("neonize-"):
            continue
        start, end = (int(part, 16) for part in region[0].split("-"))
        memory = ctypes.string_at(start, end - start)
        at = memory.find(_GENUINE_KEY)
        while at >= 0:
            ctypes.memmove(start + at, root_key, len(root_key))
            replaced += 1
            at = memory.find(_GENUINE_KEY, at + 1)
    if replaced != 1:
        raise ImportError(f"emulator hook: found the root key {replaced} times in neonize's library, expected once")


class _Finder:
    """Finds `neonize._binder` by the other finders, and patches the library once that module has run."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _BINDER:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                if spec.loader is not None:
                    self._wrap(spec.loader)
                return spec
        return None

    def _wrap(self, loader: Loader) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _replace_root_key(self._root_key)

        loader.exec_module = exec_module  # type: ignore[method-assign]


def _install() -> None:
    value = os.environ.get("WA_EMULATOR_ROOT_KEY", "")
    if value:
        root_key = bytes.fromhex(value)
        if len(root_key) != len(_GENUINE_KEY):
            raise ImportError("WA_EMULATOR_ROOT_KEY must be 32 bytes in hex")
        sys.meta_path.insert(0, _Finder(root_key))


_install()
