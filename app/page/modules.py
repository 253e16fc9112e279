"""The page's ES modules as one: joined when web starts, so that a browser asks once instead of thirty times.

The modules are plain: named imports of neighbours, named exports, and no top-level name in two of them. So each is
put before those that import it, without its `import` lines and the word `export`; only the last keeps its exports. A
module that is not plain is refused by name.
"""

import posixpath
import re
from collections.abc import Callable

_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"(?P<target>\.{1,2}/[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|let|class)\b)", re.MULTILINE)
_TOP = re.compile(r"^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


class NotPlain(Exception):
    """A module that cannot be joined with the others."""


def order(entry: str, read: Callable[[str], str]) -> list[str]:
    """The names of all modules that `entry` needs, each behind those that it imports; `entry` is the last."""
    found: list[str] = []
    open_: set[str] = set()

    def visit(name: str) -> None:
        if name in found:
            return
        if name in open_:
            raise NotPlain(f"{name} imports itself, over others")
        open_.add(name)
        for one in _IMPORT.finditer(read(name)):
            visit(posixpath.normpath(posixpath.join(posixpath.dirname(name), one["target"])))
        found.append(name)

    visit(entry)
    return found


def joined(entry: str, read: Callable[[str], str]) -> str:
    """One module that does what `entry` does, and exports what that exports. `read` gives a module's text by its name. Raises `NotPlain`."""
    parts: list[str] = []
    owners: dict[str, str] = {}
    for name in order(entry, read):
        text = read(name)
        for top in _TOP.findall(text):
            if (owner := owners.setdefault(top, name)) != name:
                raise NotPlain(f"{name} and {owner} both have a {top}")
        alone = _IMPORT.sub("", text)
        bare = _EXPORT.sub("", alone)
        if left := _LEFT.search(bare):
            raise NotPlain(f"{name}: {left[0]}")
        parts.append(alone if name == entry else bare)
    return "\n".join(parts)
