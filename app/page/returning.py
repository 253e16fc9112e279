"""The owner's way back to the platform: the link's `returnUrl`, and how it ended, signed."""

from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from app.access import Link
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.core.protocol import Body
from shared.core.signing import return_signature
from shared.settings import Settings

_ENDINGS = {
    State.LINKED: "linked",
    State.RECONNECTING: "linked",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "failed",
    State.FAILED: "failed",
}
"""The outcome, as `returnUrl` is told."""
_OURS = frozenset({"status", "companyId", "linkId", "at", "sig"})


def way_back(config: Settings, link: Link, body: Body) -> str | None:
    """The link's `returnUrl` with the ending that this snapshot shows; None without either. It is signed by the first
    of `WEBHOOK_SECRET`, and without one not at all. What the URL's query says of our own names is taken out."""
    lost = body.state is State.UNLINKED and body.failure
    ending = "failed" if lost else _ENDINGS.get(body.state)
    if link.return_url is None or ending is None:
        return None
    said: dict[str, str | int] = {"status": ending, "companyId": link.company, "linkId": link.id, "at": now_ms()}
    if config.webhook_secrets:
        secret = config.webhook_secrets[0]
        said["sig"] = return_signature(secret, link.company, link.id, ending, int(said["at"]))
    parts = urlsplit(link.return_url)
    kept = [pair for pair in parts.query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in _OURS]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(said)])))
