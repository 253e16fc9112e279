"""`key`: makes what nobody but the operator sees. Needs neither Redis nor settings."""

from collections.abc import Sequence

from app.cli.terminal import Cannot, Output, line
from shared.core.apikeys import make_api_key, read_scopes


def backup_key() -> Output:
    from pyrage import x25519

    identity = x25519.Identity.generate()
    secret, public = str(identity), str(identity.to_public())
    said = (
        f"BACKUP_KEY for the host that makes backups:\n  {public}\n"
        f"Its secret half, shown this once: keep it elsewhere; it is BACKUP_KEY when you restore:\n  {secret}"
    )
    return Output({"makes": public, "opens": secret}, line(said))


def new_key(name: str, scopes: Sequence[str]) -> Output:
    try:
        key, entry = make_api_key(name, read_scopes("+".join(scopes)))
    except ValueError as error:
        raise Cannot(f"{error}.") from None
    said = f"Key for the caller, shown this once:\n  {key}\nEntry to add to API_KEYS, then restart web:\n  {entry}"
    return Output({"name": name, "key": key, "entry": entry}, line(said))
