"""`webhooks`: events that the integrator's server has not taken yet; sending anew; a test."""

import secrets

from app.cli import records, words
from app.cli.terminal import Cannot, Operator, Output, line, table
from shared.core.datum import asdict
from shared.core.ids import company_of
from shared.state.audit import record
from shared.state.deliveries import Deliveries, Delivery, Standing
from shared.state.events import News
from shared.state.receivers import Receivers


def _deliveries(op: Operator) -> Deliveries:
    return Deliveries(op.redis, News(op.settings.told_events))


async def deliveries(op: Operator, *, standing: str) -> Output:
    found = await _deliveries(op).list(Standing(standing))
    when = "next try" if standing == Standing.WAITING else "died"
    rows = [(one.id, one.type, one.company, one.tries, words.clock(one.next_at), one.fault or "-") for one in found]
    heads = ("event", "type", "company", "tries", when, "fault")
    return Output([asdict(one) for one in found], table(f"Events: {standing}", heads, rows))


async def show(op: Operator, *, event: str) -> Output:
    found = await _deliveries(op).show(event)
    if found is None:
        raise Cannot(f"No event {event!r} waits or is dead: it was taken, or is forgotten.")
    return Output(asdict(found), line(_said(found)))


def _said(one: Delivery) -> str:
    when = "next try" if one.standing is Standing.WAITING else "given up"
    return f"{one.id}: {one.standing.value}, {one.tries} tries, {when} {words.clock(one.next_at)}, {one.fault or 'no fault'}\n{one.body}"


async def resend(op: Operator, *, event: str, by: str) -> Output:
    if not await _deliveries(op).resend(event):
        raise Cannot(f"There is no event {event!r}: it is neither waiting, nor dead, nor one of the newest 10,000.")
    await record(op.redis, "webhook.resent", event, by)
    return Output({"event": event}, line(f"{event} is sent now, and tried for another day."))


async def test(op: Operator, *, company: str, by: str) -> Output:
    session = records.session_named(company)
    if await Receivers(op.settings, op.redis).of(company_of(session)) is None:
        raise Cannot(f"{session} has no receiver: set WEBHOOK_URL, or PUT one for the company.")
    event = secrets.token_hex(12)
    await _deliveries(op).test(company_of(session), event)
    await record(op.redis, "webhook.tested", event, by, session=session)
    return Output(
        {"event": event}, line(f"Test {event} is on its way; `onboarding webhooks show {event}` if it does not come.")
    )
