"""For bench/b8_workers.py: puts engine processes without the library in place of ours. Python imports it by its place."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_FAKES = {f"workers.engine.child.{name}": f"{name}.py" for name in ("preload", "linker", "holder")}


class _Finder:
    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        fake = _FAKES.get(name)
        return importlib.util.spec_from_file_location(name, Path(__file__).with_name(fake)) if fake else None


sys.meta_path.insert(0, _Finder())
