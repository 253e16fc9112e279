"""Values in Redis are read without trust: a person with redis-cli, another program or a newer version of us may have
written them. An odd value counts as none."""

import math
import re
from typing import Any

import orjson

MOST = 99_999_999_999_999
"""Numbers of ours have 14 digits at most, as many as the scripts' JSON keeps."""
_DIGITS = re.compile(r"[0-9]{1,14}")
_WRONG = re.compile(r"WRONGTYPE|is not an integer|would overflow|exhausted the last possible ID")


def number(value: object, otherwise: int = 0) -> int:
    """A whole number from 0 to `MOST`, or `otherwise` for anything else. A score loses its fraction."""
    if isinstance(value, bool):
        return otherwise
    if isinstance(value, int | float):
        return int(value) if math.isfinite(value) and 0 <= value <= MOST else otherwise
    written = text(value) if isinstance(value, bytes | str) else ""
    return int(written) if _DIGITS.fullmatch(written) else otherwise


def text(value: bytes | str | None) -> str:
    """A text, with a mark for each byte that is not UTF-8. Empty for None."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def fields(value: bytes | str | None) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        found = orjson.loads(value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_wrong(error: BaseException) -> bool:
    """True if Redis says that a name holds a value that the command cannot work with."""
    return _WRONG.search(str(error)) is not None
