"""Ordinary life: what happens to every account without anybody's fault, and when it happens by itself.

`README.md` prints this table; a test compares. `phone/living.py` does it.
"""

from __future__ import annotations

import random
import secrets
from enum import StrEnum

LIFE_RATE = 0.01
"""The share of occasions at which something happens by itself, unless somebody says otherwise."""


class Life(StrEnum):
    """Everything that can happen."""

    HISTORY = "history"
    APP_STATE = "app-state"
    LID_MIGRATION = "lid-migration"
    BACKLOG = "backlog"
    TEXT = "text"
    MEDIA = "media"
    REACTION = "reaction"
    EDIT = "edit"
    DELETION = "deletion"
    OWN_TEXT = "own-text"
    GROUP_TEXT = "group-text"
    UNREADABLE = "unreadable"
    STATUS_POST = "status-post"
    CALL = "call"
    GROUP_NOTICE = "group-notice"
    ACCOUNT_SYNC = "account-sync"
    DEVICES = "devices"
    IDENTITY = "identity"
    PREKEYS_LOW = "prekeys-low"
    PRIVACY_TOKEN = "privacy-token"  # noqa: S105 - no secret
    PROFILE = "profile"
    NEWSLETTER = "newsletter"
    TIME_LOCK = "time-lock"
    EDGE_ROUTING = "edge-routing"
    DIRTY = "dirty"
    PRESENCE = "presence"
    SERVER_PING = "server-ping"
    ODD = "odd"
    MEDIA_RECEIPT = "media-receipt"


LIFE: dict[Life, str] = {
    Life.HISTORY: "the phone pours its chats into the device, in chunks on the media host (`messages`, `chats`)",
    Life.APP_STATE: "the phone shares its key, and the address book changes (`chats` entries)",
    Life.LID_MIGRATION: "the phone tells the lids of its contacts (`chats`)",
    Life.BACKLOG: "a heap of texts waited while the device was away (`messages`)",
    Life.TEXT: "somebody writes",
    Life.MEDIA: "somebody sends a picture, a document, a voice message or a place",
    Life.REACTION: "somebody reacts to a text",
    Life.EDIT: "somebody changes a text",
    Life.DELETION: "somebody deletes a text for everyone",
    Life.OWN_TEXT: "the owner writes on the phone itself",
    Life.GROUP_TEXT: "somebody writes to a group",
    Life.UNREADABLE: "a text comes that the device cannot open; it asks for it again and gets it",
    Life.STATUS_POST: "a contact posts a status",
    Life.CALL: "somebody calls and hangs up",
    Life.GROUP_NOTICE: "the account is added to a group, and others are",
    Life.ACCOUNT_SYNC: "the account's list of devices or its privacy settings change",
    Life.DEVICES: "a contact links one more device",
    Life.IDENTITY: "a contact has a new phone: its keys are new",
    Life.PREKEYS_LOW: "the device's one-time keys run out",
    Life.PRIVACY_TOKEN: "a contact's token comes",
    Life.PROFILE: "a contact has another picture, status or business name",
    Life.NEWSLETTER: "a channel has news",
    Life.TIME_LOCK: "the account may write to no strangers for a while",
    Life.EDGE_ROUTING: "the server names the machine to come back to",
    Life.DIRTY: "the server tells that something may be stale",
    Life.PRESENCE: "a contact comes, goes, types",
    Life.SERVER_PING: "the server asks whether the client is there",
    Life.ODD: "stanzas that make no sense: unknown tags, missing parts, acks of nothing",
    Life.MEDIA_RECEIPT: "a receipt `server-error` about a file; neonize 0.5.2 with a handler for receipts ends `connect()` over it",
}


AT_LOGIN = (Life.BACKLOG, Life.HISTORY, Life.APP_STATE, Life.LID_MIGRATION)
AT_ANY_TIME = tuple(life for life in Life if life not in (Life.BACKLOG, Life.MEDIA_RECEIPT))
"""Events that may happen by themselves. A backlog needs an absence: in the midst of a connection it happens only when
it is told to, and ends that. A receipt that neonize cannot pass on happens only when it is told to."""


def any_seed() -> int:
    """A seed that nobody has named. Short enough to be typed."""
    return secrets.randbelow(1_000_000)


class Course:
    """Events that happen by themselves: at each occasion with the chance `rate`. The same seed, the same choices."""

    def __init__(self, rate: float = 0.0, seed: int = 0) -> None:
        self.rate, self.seed = rate, seed
        self.dice = random.Random(seed)

    def next(self, rate: float | None = None, *, arriving: bool = False) -> Life | None:
        """The event at this occasion (a stanza of a client, or its arrival), if there is one."""
        chance = self.rate if rate is None else rate
        choices = AT_LOGIN if arriving else AT_ANY_TIME
        return self.dice.choice(choices) if chance > 0 and self.dice.random() < chance else None
