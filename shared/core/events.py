"""What the integrator is told of: the kinds of events, and the body of one."""

from enum import StrEnum

from pydantic import Field

from shared.core.messages import Reason
from shared.core.protocol import DeviceView, FailureView, Wire


class EventType(StrEnum):
    """What the integrator is told of."""

    ONBOARDING_STARTED = "onboarding.started"
    ONBOARDING_FAILED = "onboarding.failed"
    ONBOARDING_EXPIRED = "onboarding.expired"
    ONBOARDING_CANCELLED = "onboarding.cancelled"
    SESSION_LINKED = "session.linked"
    SESSION_VERIFIED = "session.verified"
    SESSION_DROPPED = "session.dropped"
    SESSION_UNLINKED = "session.unlinked"
    SESSION_OFFLINE = "session.offline"
    SESSION_ONLINE = "session.online"
    MESSAGE_SENT = "message.sent"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_READ = "message.read"
    MESSAGE_UNDELIVERED = "message.undelivered"
    TEST = "webhook.test"


DEFAULT_EVENTS = tuple(EventType)
"""What a receiver is told of that has not said what it wants."""


class Version(Wire):
    """The snapshot that an event belongs to: of two events of a company the one with the greater version is newer."""

    attempt: int
    seq: int


class Event(Wire):
    """The body of a webhook. `at` is the moment of the change (ms since the epoch, UTC), and stays the same in every
    try. `device.phone` is masked: no event carries a phone number, a QR or a code."""

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
