"""Making a link, for the API and for the operators' command: the same limits, and the same answer."""

from app.access import Access, Link
from app.api.models import LinkView, NewLink
from shared.core import phone
from shared.core.failures import Refused
from shared.core.ids import company_id
from shared.core.protocol import MAX_TOKEN_LENGTH
from shared.settings import Settings


class TooLong(Exception):
    """The page could not say hello with such a token. Only `returnUrl` can be what makes it so."""

    field = "returnUrl"

    def __init__(self, excess: int) -> None:
        super().__init__(f"the link would be too long: shorten it by {excess} characters")


def made(access: Access, settings: Settings, asked: NewLink) -> tuple[Link, LinkView]:
    """A new link, and what is told of it. Raises `TooLong`, and `Refused` for what is no phone number."""
    number = None
    if asked.phone_number:
        try:
            number = phone.parse(asked.phone_number, settings.default_region)
        except Refused as refused:
            raise Refused(refused.code, field="phoneNumber") from None
    link = access.new_link(
        company_id(asked.company_id),
        ttl_seconds=asked.ttl_seconds,
        company_name=asked.company_name or asked.company_id,
        phone=number,
        locale=asked.locale,
        return_url=str(asked.return_url) if asked.return_url else None,
    )
    token = access.sign(link)
    if (excess := len(token) - MAX_TOKEN_LENGTH) > 0:
        raise TooLong(excess * 3 // 4 + 1)  # it is in base64
    url = f"{settings.base_url}/link#{token}"
    return link, LinkView(id=link.id, url=url, token=token, expires_at=link.expires_at)
