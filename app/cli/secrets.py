"""`key new`: makes what nobody but the operator sees. Needs neither Redis nor settings."""

import json
import sys
from collections.abc import Sequence

from app.cli.terminal import CANNOT, WELL
from shared.core.apikeys import make_api_key, read_scopes


def show_backup_key(*, as_json: bool) -> int:
    """Print a new pair of age keys once. Returns the exit code."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    secret, public = str(identity), str(identity.to_public())
    if as_json:
        sys.stdout.write(json.dumps({"makes": public, "opens": secret}, indent=2) + "\n")
    else:
        sys.stdout.write(
            f"BACKUP_KEY for the host that makes backups:\n  {public}\n"
            f"Its secret half, shown this once: keep it elsewhere; it is BACKUP_KEY when you restore:\n  {secret}\n"
        )
    return WELL


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
