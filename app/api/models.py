"""What the integrator sends and gets, field by field; the API's description is made from it (app/openapi.py)."""

from pydantic import Field, HttpUrl

from shared.core.ids import COMPANY_PATTERN
from shared.core.lifecycle import State
from shared.core.protocol import DeviceView, FailureView, Hint, Method, Queue, Wire

DEFAULT_TTL_SECONDS = 24 * 3600
MAX_TTL_SECONDS = 7 * 24 * 3600


class NewLink(Wire):
    """What a link shall be."""

    company_id: str = Field(pattern=COMPANY_PATTERN, description="The company, as you name it.")
    company_name: str | None = Field(
        default=None, min_length=1, max_length=80, description="Its name on the page; else `companyId`."
    )
    phone_number: str | None = Field(
        default=None, max_length=64, description="The only phone that may be linked; without it any may."
    )
    locale: str | None = Field(
        default=None,
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="The page's language, such as `ru` or `pt-BR`; else the browser's.",
    )
    ttl_seconds: int = Field(
        default=DEFAULT_TTL_SECONDS, ge=60, le=MAX_TTL_SECONDS, description="How long the link may be used."
    )
    return_url: HttpUrl | None = Field(
        default=None,
        description="Where the page leads when the phone is linked. It travels in the link: 1,500 characters always fit.",
    )


class LinkView(Wire):
    """A link. Whoever has its `url` can link a phone for the company: give it to the owner alone."""

    id: str = Field(description="Names the link, to revoke it.")
    url: str = Field(description="To be opened by the owner. The token is in its fragment, which no log sees.")
    token: str = Field(description="The token alone, for a page of your own.")
    expires_at: int = Field(description="When it ends, in ms since the epoch.")


class CompanyView(Wire):
    """Where the company's session stands: the snapshot that the page shows, without QR and code."""

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


class NewMessage(Wire):
    """A text message."""

    to: str = Field(max_length=64, description="The phone, best with its country: `+79001234567`.")
    text: str = Field(min_length=1, max_length=4096)


class MessageView(Wire):
    """The message is on its way; the webhooks `message.sent` and `message.failed` tell how it went."""

    id: str = Field(description="Names the message in the webhooks.")
