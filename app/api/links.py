"""The making of a link, for the API and the operators' command alike: its limits, and the answer."""

from urllib.parse import urlencode

from app.access import PLAIN, Access, Link, PageLook
from app.api.models import LinkView, NewBrand, NewLink
from app.http.problems import unfit
from shared.core import phone
from shared.core.fields import origin_of, url_text
from shared.core.ids import company_id
from shared.core.protocol import MAX_TOKEN_LENGTH
from shared.settings import Settings


def make_link(access: Access, settings: Settings, asked: NewLink) -> Link:
    """A new link. Raises `Problem`, and `Refused` for a text that is no phone number."""
    if asked.embed_origin is not None and asked.embed_origin not in settings.embed_origins:
        raise unfit("embedOrigin", f"{asked.embed_origin} is not one of EMBED_ORIGINS")
    ways = {"returnUrl": asked.return_url, "refreshUrl": asked.refresh_url}
    urls = {field: str(url) for field, url in ways.items() if url is not None}
    for field, url in urls.items():
        if (origin := origin_of(url)) not in settings.ways_back:
            raise unfit(field, f"{origin} is not one of RETURN_ORIGINS")
    region = asked.region or settings.default_region
    link = access.new_link(
        company_id(asked.company_id),
        ttl_seconds=asked.ttl_seconds,
        company_name=asked.company_name or asked.company_id,
        phone=phone.parse(asked.phone_number, region) if asked.phone_number else None,
        locale=asked.locale,
        return_url=url_text(asked.return_url),
        refresh_url=url_text(asked.refresh_url),
        region=asked.region,
        look=_look(asked.brand or NewBrand(), asked.embed_origin),
    )
    if (excess := len(access.sign(link)) - MAX_TOKEN_LENGTH) > 0:  # the page could not send it in its hello
        field = max(urls, key=lambda one: len(urls[one]), default="companyName")
        raise unfit(field, f"the link would be too long: shorten it by {excess * 3 // 4 + 1} characters")  # in base64
    return link


def show_link(access: Access, settings: Settings, link: Link) -> LinkView:
    token = access.sign(link)
    # The token stays in the fragment, which no server sees. The query has what the first paint needs.
    told = {"lang": link.locale, "look": access.sign_look(link.look) if link.look != PLAIN else None}
    query = urlencode({name: value for name, value in told.items() if value})
    url = f"{settings.base_url}/link{query and '?' + query}#{token}"
    return LinkView(id=link.id, url=url, token=token, expires_at=link.expires_at)


def _look(brand: NewBrand, embed_origin: str | None) -> PageLook:
    logo, support, privacy = map(url_text, (brand.logo_url, brand.support_url, brand.privacy_url))
    return PageLook(brand.name, brand.accent, logo, support, privacy, embed_origin)
