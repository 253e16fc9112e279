"""The environment of the operators' command: its own, completed by that of a service that runs beside it."""

import fcntl
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from secrets import token_urlsafe

from shared.settings import MIN_SECRET, Settings, checked, environment, named

RUN_FOLDERS = tuple(Path(__file__).resolve().parents[2] / name for name in (".run", ".run/demo"))
"""The folders of `make run` and `make demo`, in the order in which the operators' command looks at them."""


def _running(folder: Path) -> dict[str, str]:
    """The settings of the service that runs in `folder` (`app/local`): its launcher keeps them in `running.json`, and the
    folder locked. Empty if none runs there."""
    try:
        with open(folder / "lock", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return {}
    except BlockingIOError:
        pass  # the launcher holds it
    except OSError:
        return {}
    try:
        found = json.loads((folder / "running.json").read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def environment_for_operator(folders: Sequence[Path] = RUN_FOLDERS) -> dict[str, str]:
    """The environment of the operators' command: this process' own, completed by the settings of the service that runs in
    the first of `folders` if it has no REDIS_URL. Ends the process if it has none and no service runs."""
    here = environment()
    if "REDIS_URL" in here:
        return here
    if beside := next(filter(None, map(_running, folders)), None):
        return beside | here
    sys.stderr.write(
        "No service runs here. Start one with `make run` or `make demo`, or set REDIS_URL to that of yours.\n"
    )
    raise SystemExit(2)


def read_for_operator(folders: Sequence[Path] = RUN_FOLDERS) -> tuple[Settings, bool]:
    """Settings of the operators' command, which needs Redis alone; and whether SECRET_KEY is the service's own, not one
    that is made up here. Ends the process like `read`, and like `environment_for_operator`."""
    known = named(environment_for_operator(folders))
    made_up = {name: token_urlsafe(MIN_SECRET) for name in ("secret_key", "api_keys")}
    return checked(made_up | known), "secret_key" in known
