"""`timeline`: events in their order, with the time that each step took."""

import asyncio
from contextlib import suppress
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from app.cli import words
from app.cli.records import find_referred, newest, session_named
from app.cli.terminal import Cannot, Operator, Output, line, table
from shared.core import keys, odd
from shared.core.ids import SessionId
from shared.core.reference import read_reference
from shared.state.pool import answer

FOLLOW_SECONDS = 0.5

TimelineEvent = dict[str, Any]

_STYLE = {"failed": "red", "refused": "yellow", "linked": "green", "shown": "cyan", "died": "red", "dropped": "yellow"}


async def timeline(op: Operator, *, company: str, last: int, follow: bool) -> Output:
    """The events of a session, or of the operators, oldest first."""
    of_operators = company == "operators"
    session, company = (None, company) if of_operators else await _meant(op, company)

    async def read(last: int) -> list[TimelineEvent]:
        if session is not None:
            return await _of_session(op, session, last)
        return (await newest(op.redis, keys.OPERATORS, last, "event", "what", "detail", "by", "why"))[::-1]

    entries = await read(last)
    if not entries and not follow:
        raise Cannot(f"Nothing is known of {company}: its timeline is empty, or older than 30 days.")
    if not follow:
        return Output(entries, _table(company, entries, of_operators=of_operators))
    before: list[TimelineEvent] = []
    while True:  # until Ctrl-C
        for one in entries:
            _line(op.console, one)
        await asyncio.sleep(FOLLOW_SECONDS)
        before = entries or before
        present = await read(keys.TIMELINE_LENGTH)
        entries = _newer(present, before[-1] if before else None)


async def _meant(op: Operator, text: str) -> tuple[SessionId, str]:
    """The session of a company or of a reference that an owner has read out, and a title. Raises `Cannot`."""
    if reference := read_reference(text):
        with suppress(Cannot):  # "k7m 2qx" names no company
            if await _of_session(op, session_named(text), 1):
                return session_named(text), text  # a company of that name comes first
        if found := await find_referred(op.redis, reference):
            session, attempt = found
            return session, f"{session}: {reference} is attempt {attempt}"
    return session_named(text), text


def _newer(present: list[TimelineEvent], last: TimelineEvent | None) -> list[TimelineEvent]:
    places = [place for place, one in enumerate(present) if one == last]
    return present[places[-1] + 1 :] if places else present


async def _of_session(op: Operator, session: SessionId, last: int) -> list[TimelineEvent]:
    lines = await answer(op.redis.lrange(keys.timeline(session), -last, -1))
    return [event for event in map(_event, lines) if event is not None]


def _event(line_of_json: bytes) -> TimelineEvent | None:
    """An event from a line of a session's timeline; None if the line is none of ours."""
    value = odd.fields(line_of_json)
    if (at := odd.number(value.get("at"), -1)) < 0:
        return None
    attempt = value.get("attempt") or ""
    return {"at": at, "attempt": str(attempt)} | {name: str(value.get(name, "")) for name in ("event", "detail")}


def _table(company: str, events: list[TimelineEvent], *, of_operators: bool) -> RenderableType:
    rows, before = [], None
    for event in events:
        step = "" if before is None else f"+{words.span(event['at'] - before)}"
        before = event["at"]
        said = Text(_said(event), _STYLE.get(event["event"].rpartition(".")[2], ""))
        if of_operators:
            about = [said, *(event[name] for name in ("what", "detail", "by", "why"))]
        else:
            about = [step, event["attempt"], said, words.advised(event["detail"]), event["event"]]
        rows.append([words.clock(event["at"]), *about])
    heads = ("event", "what", "value", "by", "why")
    if not of_operators:
        heads = ("after", "attempt", "what happened", "detail", "event")
    return table(f"Timeline of {company}", ("when (UTC)", *heads), rows)


def _line(out: Console, event: TimelineEvent) -> None:
    details = [event.get("what"), words.advised(event["detail"]), event.get("by"), event.get("why")]
    out.print(line(f"{words.clock(event['at'])}  {_said(event)}  {' '.join(filter(None, details))}"), soft_wrap=True)


def _said(event: TimelineEvent) -> str:
    return words.EVENTS.get(event["event"], str(event["event"]))
