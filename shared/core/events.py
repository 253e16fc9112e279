"""Events of webhooks: their kinds, and the body of one."""

from pydantic import Field

from shared.core.described import Described
from shared.core.messages import Reason
from shared.core.protocol import DeviceView, FailureView, Wire


class EventType(Described):
    """The kind of an event."""

    ONBOARDING_STARTED = "onboarding.started", "An attempt to link has begun."
    ONBOARDING_FAILED = "onboarding.failed", "The attempt failed: `failure` says why."
    ONBOARDING_EXPIRED = "onboarding.expired", "The attempt's time was over before the phone agreed."
    ONBOARDING_CANCELLED = "onboarding.cancelled", "The owner, or you, took the attempt back."
    SESSION_LINKED = "session.linked", "The company has linked a device."
    SESSION_VERIFIED = "session.verified", "The device is still there a minute later."
    SESSION_DROPPED = (
        "session.dropped",
        "The device is lost, and nobody asked for it at our side: the company must link anew.",
    )
    SESSION_UNLINKED = "session.unlinked", "The device was logged out, on the phone or by the API."
    SESSION_OFFLINE = (
        "session.offline",
        "The session has had no connection for two minutes; it is tried again by itself.",
    )
    SESSION_ONLINE = "session.online", "A session that was told to be offline is connected again."
    MESSAGE_SENT = "message.sent", "WhatsApp took a message."
    MESSAGE_FAILED = "message.failed", "A message is not known to have been sent."
    MESSAGE_DELIVERED = "message.delivered", "The receiver's phone has a message."
    MESSAGE_READ = "message.read", "The receiver has read a message."
    MESSAGE_UNDELIVERED = "message.undelivered", "WhatsApp took a message, and the receiver's phone does not show it."
    MESSAGE_RECEIVED = (
        "message.received",
        "Somebody has written to the company, or the company on its own phone. Only if asked for.",
    )
    TEST = "webhook.test", "You have asked for it, to see whether your server takes events."


DEFAULT_EVENTS = tuple(kind for kind in EventType if kind is not EventType.MESSAGE_RECEIVED)
"""Kinds for a receiver that has not named any. Incoming messages are told only if asked for."""


class Version(Wire):
    """The snapshot that an event belongs to: of two events of a company the one with the greater version is newer."""

    attempt: int
    seq: int


class MediaNotice(Wire):
    """Sign that a message has something beside text. It is not downloaded."""

    type: str = Field(description="`image`, `video`, `audio`, `document`, `sticker`, `contact`, `location`, `poll` …")
    mime: str | None = None
    size: int | None = Field(default=None, description="In bytes, if the sender says it.")


class IncomingMessage(Wire):
    """A message that has come in, or that was written on the company's own phone."""

    id: str = Field(description="WhatsApp's own id.")
    kind: str = Field(description="`text`, `media`, `reaction`, `edit`, `deletion` or `other`.")
    chat: str = Field(description="The other side: its number (E.164), its LID, or a group `<id>@g.us`.")
    sender: str | None = Field(default=None, alias="from", description="The writer's number, if WhatsApp tells it.")
    from_lid: str | None = Field(default=None, description="The writer's name that is no number.")
    name: str | None = Field(default=None, description="As the writer calls himself.")
    own: bool = Field(description="Written on the company's own phone.")
    at: int = Field(description="WhatsApp's own time, in ms.")
    text: str | None = Field(default=None, description="The text, a caption, the new text of an edit, an emoji.")
    target_id: str | None = Field(default=None, description="The message that is edited, deleted or reacted to.")
    quoted_id: str | None = Field(default=None, description="The message that is answered.")
    media: MediaNotice | None = None


class Event(Wire):
    """The body of a webhook. `at` is the moment of the change (ms since the epoch, UTC), and stays the same in every
    try. `device.phone` is masked: but for `message.received`, no event carries a phone number, a text, a QR or a code."""

    id: str = Field(description="Names the event: the same in every try.")
    type: EventType
    company_id: str
    session_id: str
    at: int
    version: Version
    link_id: str | None = Field(default=None, description="The link that began the attempt, if one did.")
    device: DeviceView | None = Field(default=None, description="Of `session.linked` and `session.verified`.")
    failure: FailureView | None = Field(default=None, description="Of `onboarding.failed`, and others that have one.")
    message_id: str | None = Field(default=None, description="The `id` that the API answered for the message.")
    whatsapp_id: str | None = Field(default=None, description="WhatsApp's own id of a message that it has taken.")
    reason: Reason | None = Field(default=None, description="Of `message.failed` and `message.undelivered`.")
    status: int | None = Field(default=None, description="WhatsApp's own number, when it has refused a message.")
    advice: str | None = Field(default=None, description="The next thing to do after WhatsApp's refusal.")
    message: IncomingMessage | None = Field(default=None, description="Of `message.received`.")
    lost: int | None = Field(
        default=None, description="Of `message.received`: so many before it found no room, as nobody took the others."
    )
