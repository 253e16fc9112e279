"""`timeline`: what happened, in order, with what each step took."""

from typing import Any

from rich.console import Console
from rich.text import Text

from app.cli import words
from app.cli.records import session_named
from app.cli.terminal import Cannot, Operator, Output, line, table
from shared.core import keys

Event = dict[str, Any]

_STYLE = {"failed": "red", "refused": "yellow", "linked": "green", "shown": "cyan", "died": "red", "dropped": "yellow"}


async def timeline(op: Operator, *, company: str, last: int, follow: bool) -> Output:
    """The events of a session, or of the operators, oldest first."""
    of_operators = company == "operators"
    stream = keys.OPERATORS if of_operators else keys.timeline(session_named(company))
    entries = [_event(one) for one in reversed(await op.redis.xrevrange(stream, count=last))]
    if not entries and not follow:
        raise Cannot(f"Nothing is known of {company}: its timeline is empty, or older than 30 days.")
    if not follow:
        return Output(entries, _table(company, entries, of_operators=of_operators))
    for one in entries:
        _line(op.console, one)
    newest = entries[-1]["id"] if entries else "0"
    while True:  # until Ctrl-C
        for _, found in await op.redis.xread({stream: newest}, block=2000):
            for raw in found:
                event = _event(raw)
                newest = event["id"]
                _line(op.console, event)


def _event(raw: tuple[bytes, dict[bytes, bytes]]) -> Event:
    event: Event = {"id": raw[0].decode(), "at": int(raw[0].split(b"-")[0])}
    return event | {name.decode(): value.decode() for name, value in raw[1].items()}


def _table(company: str, events: list[Event], *, of_operators: bool) -> Any:
    rows, before = [], None
    for event in events:
        step = "" if before is None else f"+{words.span(event['at'] - before)}"
        before = event["at"]
        style = _STYLE.get(event["event"].rpartition(".")[2], "")
        said = str(words.EVENTS.get(event["event"], event["event"]))
        shown = Text(said, style)
        if of_operators:
            rows.append(
                [
                    words.clock(event["at"]),
                    shown,
                    event.get("what", ""),
                    event.get("detail", ""),
                    event.get("by", ""),
                    event.get("why", ""),
                ]
            )
        else:
            rows.append(
                [
                    words.clock(event["at"]),
                    step,
                    event.get("attempt", ""),
                    shown,
                    event.get("detail", ""),
                    event["event"],
                ]
            )
    heads = (
        ("when (UTC)", "event", "what", "value", "by", "why")
        if of_operators
        else ("when (UTC)", "after", "attempt", "what happened", "detail", "event")
    )
    return table(f"Timeline of {company}", heads, rows)


def _line(out: Console, event: Event) -> None:
    said = words.EVENTS.get(event["event"], event["event"])
    details = [event.get(name, "") for name in ("what", "detail", "by", "why")]
    line(f"{words.clock(event['at'])}  {said}  {' '.join(one for one in details if one)}")(out)
