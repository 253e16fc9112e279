"""The settings."""

import ast
import inspect
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.generate.markdown import document, generated_from, table
from shared.settings import Settings


def page() -> str:
    """`docs/environment.md`."""
    said = _docstrings()
    if undescribed := Settings.model_fields.keys() - said:
        raise ValueError(f"settings without a docstring: {', '.join(sorted(undescribed))}")
    rows = [(f"`{name.upper()}`", _default(field), said[name]) for name, field in Settings.model_fields.items()]
    return document(
        "# The environment",
        generated_from("shared/settings.py"),
        "Web and worker read the same variables, once, at their start. A bad or missing value ends the process with one "
        "sentence that names it, and exit code 2. An empty value counts as absent.",
        table(["variable", "default", "what"], rows),
        "`make run` and `make demo` fill in what is missing for a trial on one machine: a Redis of their own, "
        "`SECRET_KEY` and `API_KEYS` (kept in `.run/`), the next free `PORT`; with such keys web listens on loopback "
        "only.",
    )


def _docstrings() -> dict[str, str]:
    """The docstrings of the settings, each in one line."""
    (made,) = ast.parse(inspect.getsource(Settings)).body
    found: dict[str, str] = {}
    for one, behind in pairwise(cast("ast.ClassDef", made).body):
        match one, behind:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = field.get_default()
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if value is None or value == () or value is PydanticUndefined:
        return "-"
    if isinstance(value, tuple | list):
        return "`" + ",".join(str(one) for one in value) + "`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.as_posix() if isinstance(value, Path) else value}`"
