"""Sessions of Baileys, in the stores that keep its JSON: a folder, one file, or named values of a table or hash.

The forms were read from Baileys (`useMultiFileAuthState`), Evolution API 2.3, WAHA NOWEB and Whaticket. A session is `creds`
and, by kind and id, its keys. Nothing is written here, and no text of an error holds a secret.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CREDS = "creds.json"
#: Kinds of keys as they stand in names; a kind that begins another comes after it.
KINDS = (
    "app-state-sync-key",
    "app-state-sync-version",
    "sender-key-memory",
    "sender-key",
    "pre-key",
    "session",
    "lid-mapping",
    "device-list",
    "identity-key",
    "tctoken",
)
#: Kinds as the one-file form spells them.
_OLD_KINDS = {
    "preKeys": "pre-key",
    "sessions": "session",
    "senderKeys": "sender-key",
    "senderKeyMemory": "sender-key-memory",
    "appStateSyncKeys": "app-state-sync-key",
    "appStateVersions": "app-state-sync-version",
}


DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""Errors of values that are not what they should be."""


class NotImportable(ValueError):
    """The session cannot be taken over. The text is one sentence with the reason, and holds no secret."""


@contextmanager
def refusing(why: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise NotImportable with this sentence for `errors`, by default for damage. `{error}` in it is the error's type."""
    caught = errors or DAMAGE
    try:
        yield
    except NotImportable:
        raise
    except caught as error:
        raise NotImportable(why.replace("{error}", type(error).__name__)) from None


@dataclass(slots=True)
class BaileysSession:
    """One session. `keys`: by kind and id; `touched`: time of the last write (seconds since the epoch); `damaged`: count of
    the values that were left out."""

    name: str
    creds: Mapping[str, Any]
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    touched: float = 0.0
    damaged: int = 0

    def of(self, kind: str) -> dict[str, Any]:
        """The keys of one kind, by id."""
        return self.keys.get(kind, {})


def decode(value: object) -> bytes:
    """Read bytes, in whichever way JSON has them. Raises NotImportable.

    Seen: `{"type": "Buffer", "data": base64 or a list}`, `{"0": 1, "1": 2, …}`, a list, base64 with or without padding.
    """
    match value:
        case bytes():
            return value
        case str():
            with refusing("a key is no base64"):
                return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        case list():
            return _of_numbers(value)
        case {"type": "Buffer", "data": data} | {"buffer": True, "data": data} | {"buffer": True, "value": data}:
            return decode(data)
        case dict() if all(isinstance(key, str) and key.isdecimal() for key in value):
            return _of_numbers([value[key] for key in sorted(value, key=int)])
        case _:
            raise NotImportable("a value that should be bytes is something else")


def _of_numbers(values: list[object]) -> bytes:
    if not all(isinstance(one, int) and 0 <= one < 256 for one in values):
        raise NotImportable("a list that should be bytes holds something else")
    return bytes(values)  # type: ignore[arg-type] # just checked


def read_folder(folder: Path) -> BaileysSession:
    """Read the folder of one session. In file names `/` is `__` and `:` is `-`. Raises NotImportable, and OSError."""
    session = read_pairs(folder.name, _text(folder / CREDS), read_files(folder), called=CREDS)
    session.touched = max(file.stat().st_mtime for file in folder.glob("*.json"))
    return session


def read_single(name: str, text: str) -> BaileysSession:
    """Read the one-file form `{creds, keys: {preKeys: …}}`, also as JSON inside a JSON string. Raises NotImportable."""
    whole = _parse(text, times=2)
    match whole:
        case {"creds": dict(creds), **rest}:
            session = BaileysSession(name, creds)
        case _:
            raise NotImportable("the file holds no creds")
    keys = rest.get("keys")
    for kind, found in (keys if isinstance(keys, dict) else {}).items():
        if isinstance(found, dict):
            session.keys[_OLD_KINDS.get(str(kind), str(kind))] = found
    return session


def read_pairs(
    name: str, creds: object, pairs: Mapping[str, object], *, called: str = "the creds value"
) -> BaileysSession:
    """Read a session whose keys are named values, such as `session-123.0` and its JSON text. Raises NotImportable."""
    parsed = _parse(creds, times=2)
    if not isinstance(parsed, dict):
        raise NotImportable(f"{called} is damaged (half written?)")
    session = BaileysSession(name, parsed)
    for key, value in pairs.items():
        stem = key.removesuffix(".json")
        kind = next((kind for kind in KINDS if stem.startswith(f"{kind}-")), None)
        if kind is None:
            continue
        if (kept := _parse(value)) is None:
            session.damaged += 1
        else:
            session.keys.setdefault(kind, {})[stem[len(kind) + 1 :].replace("__", "/")] = kept
    return session


def read_files(folder: Path) -> dict[str, object]:
    """The named values of a folder; none if there is no folder. Raises OSError."""
    return {file.stem: _text(file) for file in sorted(folder.glob("*.json"))}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotImportable(f"there is no {file.name}") from None
    except UnicodeDecodeError:
        return ""  # damaged, as a text that is no JSON


def _parse(value: object, *, times: int = 1) -> object:
    """Parse JSON text, up to `times` over for text inside text. Anything else stays as it is; damaged text is None."""
    for _ in range(times):
        if not isinstance(value, (str, bytes)):
            break
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value
