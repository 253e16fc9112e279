"""Models of the API, field by field; its description is made from them (app/openapi.py)."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.core.colour import check_accent
from shared.core.events import Event, EventType
from shared.core.fields import Origin, Region, SecureUrl, Shown, Url
from shared.core.ids import COMPANY_PATTERN
from shared.core.lifecycle import State
from shared.core.messages import MessageState, Reason
from shared.core.protocol import DeviceView, FailureView, Hint, Method, Queue, Snapshot, Wire
from shared.state.deliveries import Standing

DEFAULT_TTL_SECONDS = 24 * 3600
MAX_TTL_SECONDS = 7 * 24 * 3600


class NewBrand(Wire):
    """Look of the link's page, where it differs from the service's own look."""

    name: Shown | None = Field(default=None, min_length=1, max_length=60, description="The platform's name.")
    accent: Annotated[str, AfterValidator(check_accent)] | None = Field(
        default=None,
        pattern=r"^#[0-9A-Fa-f]{6}$",
        description="The colour of buttons, such as `#0a7d4f`, in which words on white can be read (4.5 : 1); its partner "
        "for dark screens follows from it.",
    )
    logo_url: SecureUrl | None = Field(
        default=None,
        description="A picture, by https, shown 36 pixels high; else `LOGO_URL`, but not beside a `name` of the link's own.",
    )
    support_url: Url | None = Field(default=None, description="Where the owner finds help.")
    privacy_url: Url | None = Field(default=None, description="Where the owner reads what becomes of the data.")


class NewLink(Wire):
    """A link to be made. All of its texts together travel in it: some 2,000 characters always fit."""

    company_id: str = Field(pattern=COMPANY_PATTERN, description="The company, as you name it.")
    company_name: Shown | None = Field(
        default=None, min_length=1, max_length=80, description="Its name on the page; else `companyId`."
    )
    phone_number: str | None = Field(
        default=None, min_length=1, max_length=64, description="The only phone that may be linked; without it any may."
    )
    locale: str | None = Field(
        default=None,
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="The page's language, such as `ru` or `pt-BR`; else the browser's.",
    )
    region: Region | None = Field(
        default=None,
        description="The country (ISO 3166) by which a number without `+` is read; else the service's.",
    )
    ttl_seconds: int = Field(
        default=DEFAULT_TTL_SECONDS, ge=60, le=MAX_TTL_SECONDS, description="Lifetime of the link."
    )
    return_url: Url | None = Field(
        default=None,
        description="Where the page leads at the end, with `status`, `companyId`, `linkId`, `at` and `sig`. Its origin is one "
        "of `RETURN_ORIGINS`.",
    )
    refresh_url: Url | None = Field(
        default=None, description="Where a link that is dead sends its owner for a new one; the same origins."
    )
    brand: NewBrand | None = None
    embed_origin: Origin | None = Field(
        default=None,
        max_length=300,
        description="The origin of the page that shows ours in a frame; one of `EMBED_ORIGINS`.",
    )


class LinkView(Wire):
    """A link. Anybody who has its `url` can link a phone for the company: give it to the owner alone."""

    id: str = Field(description="Names the link, to revoke it.")
    url: str = Field(description="To be opened by the owner. The token is in its fragment, which no log sees.")
    token: str = Field(description="The token alone, for a page of your own.")
    expires_at: int = Field(description="When it ends, in ms since the epoch.")


class LinkState(StrEnum):
    """The state of a link. `running`: an attempt that it began goes on. `spent`: it has linked a device."""

    OPEN = "open"
    RUNNING = "running"
    SPENT = "spent"
    EXPIRED = "expired"
    REVOKED = "revoked"


class LinkStatus(Wire):
    """A link as it stands now; without its token, which only the answer that made it has."""

    id: str
    company_id: str
    state: LinkState
    expires_at: int


class CompanyView(Wire):
    """The state of a company's session: the snapshot that the page shows, without QR and code."""

    session_id: str = Field(description="`company_` and the company's id.")
    attempt: int = Field(description="The number of the attempt; 0 before the first. Later ones are greater.")
    seq: int = Field(description="Counts the changes within the attempt.")
    server_now: int = Field(description="The server's clock, in ms since the epoch.")
    state: State
    method: Method | None = None
    deadline: int | None = Field(default=None, description="When the attempt ends at the latest, in ms.")
    queue: Queue | None = None
    failure: FailureView | None = None
    hint: Hint | None = None
    device: DeviceView | None = None


class CompaniesPage(Wire):
    """Companies in the order of their names."""

    companies: list[CompanyView]
    next: str | None = Field(default=None, description="The `cursor` of the next page; absent on the last.")


class NewReceiver(Wire):
    """A company's own receiver of events."""

    url: Url = Field(description="Where its events go. Public, or in one of `WEBHOOK_NETWORKS`.")
    secret: str | None = Field(
        default=None,
        min_length=16,
        max_length=200,
        description="Signs its events, best `whsec_` and base64 of 32 random bytes; without it one is made.",
    )
    events: list[EventType] | None = Field(
        default=None, max_length=40, description="The kinds it wants; else all but `message.received`."
    )


class ReceiverView(Wire):
    """A company's own receiver of events."""

    url: str
    events: list[str]
    secret: str | None = Field(default=None, description="Only in the answer that sets it.")


class DeliveryView(Wire):
    """An event that no receiver has taken yet; without its `message`, which is for the receiver alone."""

    state: Standing
    tries: int
    fault: str | None = Field(default=None, description="The trouble of the last try.")
    next_at: int | None = Field(default=None, description="When it is tried next, in ms; of one that waits.")
    died_at: int | None = Field(default=None, description="When it was given up, in ms; of a dead one.")
    event: Event


class DeliveryPage(Wire):
    """Events that no receiver has taken yet."""

    deliveries: list[DeliveryView]


class NewTest(Wire):
    """A test of a receiver."""

    company_id: str = Field(pattern=COMPANY_PATTERN, description="Whose receiver: the company's own, or the service's.")


class TestView(Wire):
    """The event that was sent as a test."""

    id: str


class NewAttempt(Wire):
    """An attempt to link, without a link and a browser."""

    method: Method = Field(description="`qr` shows a QR; `code` makes a code for `phoneNumber` as well.")
    phone_number: str | None = Field(
        default=None, min_length=1, max_length=64, description="With `code`: the phone that shall type it."
    )


class AttemptView(Snapshot):
    """The newest attempt with all that a page of your own shows. Keep QR and code from everybody but the owner."""


class NewMessage(Wire):
    """A text message."""

    to: str = Field(
        max_length=64,
        description="The phone, best with its country: `+79001234567`; or a WhatsApp name: `<digits>@s.whatsapp.net`, "
        "`<digits>@lid`, or `<id>@g.us` of a group with the company in it.",
    )
    text: str = Field(min_length=1, max_length=4096)


class MessageView(Wire):
    """The message is on its way; the webhooks `message.sent` and `message.failed` tell how it went."""

    id: str = Field(description="Names the message in the webhooks.")


class MessageStatus(Wire):
    """The state of a message. Times are in ms since the epoch; those of WhatsApp are WhatsApp's own."""

    id: str = Field(description="As `POST …/messages` answered it.")
    state: MessageState
    whatsapp_id: str | None = Field(default=None, description="WhatsApp's own id, once it has taken the message.")
    reason: Reason | None = Field(default=None, description="Of `failed` and `undelivered`.")
    status: int | None = Field(default=None, description="WhatsApp's own number, when it has refused the message.")
    advice: str | None = Field(default=None, description="The next thing to do after WhatsApp's refusal.")
    accepted_at: int | None = Field(default=None, description="When the API took it.")
    sending_at: int | None = Field(default=None, description="When its turn came.")
    sent_at: int | None = Field(default=None, description="When WhatsApp took it.")
    delivered_at: int | None = Field(default=None, description="When the receiver's phone got it.")
    read_at: int | None = Field(default=None, description="When the receiver read it.")
    failed_at: int | None = None
    undelivered_at: int | None = None


class ContactView(Wire):
    """WhatsApp's answer about a number."""

    exists: bool = Field(description="True if somebody has WhatsApp under this number.")
    number: str = Field(description="The account's number, in E.164: not always the one that is dialled.")
    jid: str | None = Field(default=None, description="The account's name, as `to` of a message takes it.")
    lid: str | None = Field(default=None, description="The account's name that is no number, if WhatsApp tells it.")
