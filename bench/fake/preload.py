"""Modules that the zygote loads once: engines that only pretend, and no library."""

import gc
import importlib


def preload() -> None:
    """Import both, and freeze them out of the garbage collector."""
    for name in ("linker", "holder"):
        importlib.import_module(f"workers.engine.child.{name}")
    gc.collect()
    gc.freeze()


def load_library(_: str | None) -> None:
    """There is none."""
