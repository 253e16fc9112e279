"""Every name in Redis."""

from docs.generate.markdown import document, generated_from, table
from shared.core.keys import KEYS


def page() -> str:
    """`docs/redis-keys.md`."""
    rows = [(f"`{one.name}`", one.type, one.ttl or "-", one.purpose) for one in KEYS]
    return document(
        "# Names in Redis",
        generated_from("shared/core/keys.py"),
        "Values are JSON or plain text that a person can read with `redis-cli`. No name and no value holds a phone "
        "number, but for the one key whose purpose says so; none holds a code's, a QR's or a link's secret in its name. "
        "Losing all of it loses no linked device: those are in the device store.",
        table(["name", "type", "kept for", "what"], rows),
        "The queue library keeps its own names beside the queues: `arq:job:<id>`, `arq:in-progress:<id>`, "
        "`arq:retry:<id>` and `arq:result:<id>`.",
    )
