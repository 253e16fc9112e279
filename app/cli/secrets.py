"""`key new`: makes what nobody but the operator sees. Needs neither Redis nor settings."""

import json
import sys
from collections.abc import Sequence

from app.cli.terminal import CANNOT, WELL
from shared.core.apikeys import make_api_key, read_scopes


def show_new_key(name: str, scopes: Sequence[str], *, as_json: bool) -> int:
    """Print a new key once, and its entry for `API_KEYS`. Returns the exit code."""
    try:
        key, entry = make_api_key(name, read_scopes("+".join(scopes)))
    except ValueError as error:
        sys.stderr.write(f"{error}.\n")
        return CANNOT
    if as_json:
        sys.stdout.write(json.dumps({"name": name, "key": key, "entry": entry}, indent=2) + "\n")
    else:
        sys.stdout.write(
            f"Key for the caller, shown this once:\n  {key}\nEntry to add to API_KEYS, then restart web:\n  {entry}\n"
        )
    return WELL
