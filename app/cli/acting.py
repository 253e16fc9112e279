"""`link`, `unlink` and `cooldowns`: what an operator does for one company. Each act is on record."""

import asyncio
import webbrowser
from typing import Any, cast
from urllib.parse import urlsplit

from arq.constants import job_key_prefix
from pydantic import ValidationError
from rich.console import Group
from rich.text import Text

from app.access import Access, BadToken, LinkBook
from app.api import links
from app.api.companies import forget_company, tell_holder
from app.api.models import NewLink
from app.cli import records, words
from app.cli.terminal import Cannot, Operator, Output, line, table, until
from app.http.problems import Problem
from app.onboarding import Endings
from shared.core import keys, odd
from shared.core import phone as phones
from shared.core.clock import now_ms
from shared.core.failures import Refused
from shared.core.ids import company_of
from shared.core.lifecycle import DEVICE, State
from shared.jobs.queue import enqueue
from shared.state.audit import record
from shared.state.claims import MOST_STARTS, Claims
from shared.state.cooldowns import Cooldowns, waits_until
from shared.state.events import News
from shared.state.forgetting import Forgetting

LOG_OUT_SECONDS = 60.0
"""The longest wait for the end of a log-out."""

#: The API's fields, and their names here.
_OPTION = {
    "companyId": "COMPANY",
    "companyName": "--name",
    "phoneNumber": "--phone",
    "locale": "--locale",
    "ttlSeconds": "--hours",
    "returnUrl": "--return-url",
}


def _signing(op: Operator) -> Access:
    if not op.may_sign:
        raise Cannot("SECRET_KEY is not set here; it must be the service's own.")
    return Access(op.settings)


def _no_number(text: str) -> Cannot:
    return Cannot(f"{text!r} is no phone number; write it with its country, as in +7 900 123-45-67.")


async def create_link(
    op: Operator,
    *,
    company: str,
    name: str | None,
    phone: str | None,
    locale: str | None,
    hours: float,
    return_url: str | None,
    by: str,
) -> Output:
    """Make a link for a company. Its address is shown once and kept nowhere."""
    session = records.session_named(company)
    access = _signing(op)
    given = zip(_OPTION, (company_of(session), name, phone, locale, round(hours * 3600), return_url), strict=True)
    try:
        asked = NewLink.model_validate({field: value for field, value in given if value is not None})
        link = links.make_link(access, op.settings, asked)
    except ValidationError as error:
        first = error.errors()[0]
        raise Cannot(f"{_OPTION[str(first['loc'][0])]}: {first['msg']}.") from None
    except Problem as problem:
        field, _, sentence = problem.view.detail.partition(": ")
        raise Cannot(f"{_OPTION[field]}: {sentence}.") from None
    except Refused:
        raise _no_number(phone or "") from None
    view = links.show_link(access, op.settings, link)
    await LinkBook(op.redis).write(link)
    await record(op.redis, "link.created", link.id, by, session=session, detail=link.id)

    about = f": link {link.id}, until {words.clock(link.expires_at)[:16]} UTC"
    return Output(view.model_dump(by_alias=True), Group(Text.assemble((session, "bold"), about), line(view.url)))


async def open_link(op: Operator, *, company: str, name: str | None, only_print: bool, by: str) -> Output:
    made = await create_link(op, company=company, name=name, phone=None, locale=None, hours=24, return_url=None, by=by)
    url = cast(dict[str, Any], made.data)["url"]
    opened = only_print or await asyncio.to_thread(webbrowser.open, url)

    if opened:
        return made
    return Output(made.data, Group(made.shown, line("There is no browser here: open the address yourself.")))


async def revoke_link(op: Operator, *, id_or_url: str, by: str) -> Output:
    """If a link's address is given, SECRET_KEY is needed to read the id in it."""
    token = urlsplit(id_or_url).fragment or (id_or_url if id_or_url.startswith("eyJ") else "")
    link_id, session = id_or_url, None
    if token:
        try:
            link = _signing(op).verify(token)
        except BadToken:
            raise Cannot("This link is not ours, or has expired: it is useless already.") from None
        link_id, session = link.id, link.session
    elif len(link_id) > 64 or not link_id.replace("-", "").replace("_", "").isalnum():
        raise Cannot(f"{id_or_url!r} is no link's id.")
    await Endings(op.redis, Claims(op.redis, News(op.settings.told_events))).revoke_link(link_id)
    await record(op.redis, "link.revoked", link_id, by, session=session, detail=link_id)
    return Output({"id": link_id, "session": session}, line(f"Link {link_id} is useless now."))


async def unlink(op: Operator, *, company: str, wait: bool, by: str) -> Output:
    session = records.session_named(company)
    found = await records.read_one(op.redis, session)
    if found and not found.owned and found.state not in DEVICE | {State.FAILED}:
        # A failed session may have a device: it is kept if it was replaced or banned.
        said = f"{session} has no device: it is {found.state.value}."
        return Output({"session": session, "unlinked": True, "worker": None}, line(said))
    await record(op.redis, "session.unlink", session, by, session=session)
    owner = await tell_holder(op.redis, "unlink", session)

    async def is_unlinked() -> bool:
        waits = await op.redis.exists(f"{job_key_prefix}unlink:{session}")
        found = await records.read_one(op.redis, session)
        if found is None or found.owned:
            return found is None
        return found.state is State.UNLINKED or (not waits and found.state not in DEVICE)  # a worker found no device

    done = wait and await until(op, "logging out", LOG_OUT_SECONDS, is_unlinked)
    said = f"{session} is unlinked." if done else f"{session}: told {owner or 'the next free worker'}."
    data = {"session": session, "unlinked": done, "worker": owner}
    return Output(data, line(said), ill=wait and not done)


async def unpark(op: Operator, *, company: str, by: str) -> Output:
    session = records.session_named(company)
    found = await records.read_one(op.redis, session)
    if found is None or not found.parked:
        raise Cannot(f"{session} has no parked device.")
    await record(op.redis, "session.unpark", session, by, session=session)
    await enqueue(op.redis, keys.QUEUE_SESSIONS, "unpark", session)
    return Output({"session": session}, line(f"{session}: a worker tries its device again."))


async def forget(op: Operator, *, company: str, wait: bool, by: str) -> Output:
    session = records.session_named(company)
    forgetting = Forgetting(op.redis, op.settings.secret_key)
    endings = Endings(op.redis, Claims(op.redis, News(op.settings.told_events)))
    await forget_company(op.redis, endings, forgetting, session, by)

    async def is_forgotten() -> bool:
        return not await forgetting.is_wished(session)

    done = wait and await until(op, "forgetting", LOG_OUT_SECONDS, is_forgotten)
    said = (
        f"{session} is forgotten. One line of the audit stays: onboarding timeline operators"
        if done
        else f"{session} will be forgotten as soon as its device is logged out; that is tried for a day."
    )
    return Output({"session": session, "forgotten": done}, line(said), ill=wait and not done)


async def cooldowns(op: Operator, *, company: str, phone: str | None, clear: bool, by: str) -> Output:
    session = records.session_named(company)
    _signing(op)
    book = Cooldowns(op.redis, op.settings.secret_key)
    names = {"company": book.of_company(session)}
    if phone:
        try:
            number = phones.parse(phone, op.settings.default_region)
        except Refused:
            raise _no_number(phone) from None
        names |= {"phone": book.of_phone(number), "phone's living code": book.of_code(number)}
    starts = keys.starts(session)
    if clear:
        await op.redis.delete(starts, *names.values())
        await record(op.redis, "cooldown.cleared", session, by, session=session)
    data: list[dict[str, Any]] = []
    for whose, key in names.items():
        raw = await op.redis.get(key)
        value = odd.fields(raw)
        held = odd.text(raw) if raw and not value else None
        refusals = odd.number(value.get("refusals"))
        data.append({"whose": whose, "key": key, "until": waits_until(raw), "refusals": refusals, "heldBy": held})
    begun = odd.number(await op.redis.get(starts))
    ends = now_ms() + await op.redis.pttl(starts) if begun >= MOST_STARTS else 0
    data.append({"whose": "attempts", "key": starts, "until": ends, "refusals": begun, "heldBy": None})
    rows = []
    for one in data:
        waits = f"until {words.clock(one['until'])} UTC" if one["until"] > now_ms() else one["heldBy"] or "may try"
        rows.append((one["whose"], waits, one["refusals"], one["key"]))
    title = f"Cool-downs of {session}" + (", now taken back" if clear else "")
    return Output(data, table(title, ("whose", "waits", "times", "key"), rows))
