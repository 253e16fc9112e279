"""A command's surroundings: Redis, settings and terminal; and the ways to show its answer."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, cast

from arq.connections import ArqRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from app.cli.environment import read_for_operator
from shared.core.datum import Datum, field
from shared.core.plain import defused
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.pool import answer
from shared.state.refusals import RedisRefuses, reason
from shared.tasks import found

WELL, ILL, CANNOT = 0, 1, 2
LOOK_SECONDS = 0.25
"""Between two looks whether something has happened."""


class Cannot(Exception):
    """The command cannot be done. The text is a sentence for the person at the terminal."""


@dataclass(slots=True)
class Output:
    """Answer of a command: `data` for programs, `shown` to people; `ill` if something is wrong."""

    data: object
    shown: RenderableType
    ill: bool = False

    def show(self, out: Console) -> None:
        """Print it. The terminal itself breaks long lines."""
        out.print(Group(self.shown), crop=False)  # of a text alone, rich forgets that it must not be wrapped


class Operator(Datum):
    """Surroundings of a command. Answers go to `console`; what it waits for is told `aside` (stderr). `may_sign`: SECRET_KEY
    is the service's own."""

    redis: ArqRedis
    settings: Settings
    console: Console
    may_sign: bool = False
    aside: Console = field(default_factory=lambda: Console(stderr=True))
    as_json: bool = False


class SafeConsole(Console):
    """A terminal that shows what it is given and obeys none of it: a contact's name may hold a terminal's own commands."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for one in super().render(renderable, options):
            yield one if one.control else one._replace(text=defused(one.text))


def console() -> Console:
    """Standard output. Through a pipe it is wide and plain, so that lines can be searched."""
    return SafeConsole(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=False)


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> RenderableType:
    """Rows under heads; a column of numbers is aligned right. Cells are shown as they are written, never as markup:
    in Redis anybody may have written `[/]`."""
    rows = list(rows)
    if not rows:
        return Text.assemble((title, "bold"), f": {empty}")
    made = Table(title=Text(title, "bold"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        numbers = all(str(row[index]).replace(".", "", 1).isdigit() for row in rows)
        made.add_column(head, justify="right" if numbers else "left", header_style="dim", no_wrap=index == 0)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def line(text: str) -> Text:
    """A text as it is written; the terminal itself breaks it, so that an address or a key can be copied."""
    return Text(text, no_wrap=True, overflow="ignore")


def together(first: RenderableType, *others: RenderableType) -> Group:
    """One below the other, with a blank line between them."""
    return Group(first, *(part for one in others for part in (Text(), one)))


async def until(op: Operator, doing: str | Text, seconds: float, happened: Callable[[], Awaitable[bool]]) -> bool:
    """Look whether it has happened, for so many seconds. True if it has. A person reads `doing` meanwhile; a `Text` may
    change."""
    with op.aside.status(doing):
        return bool(await found(happened, seconds, LOOK_SECONDS))


def run(work: Callable[..., Awaitable[Output] | Output], *, as_json: bool, **arguments: Any) -> int:
    """Do the work and show its answer; the exit code. Only a coroutine is given an `Operator`, and so needs Redis."""
    out = console()

    async def connected() -> Output:
        settings, may_sign = read_for_operator()
        pool = redis_pool.pool(settings)
        pool.connection_kwargs["retry"] = Retry(NoBackoff(), 1)  # a person waits: no long patience
        redis = client(pool)
        try:
            return await answer(work(Operator(redis, settings, out, may_sign, as_json=as_json), **arguments))
        finally:
            await redis.aclose(close_connection_pool=True)

    try:
        done = asyncio.run(connected()) if iscoroutinefunction(work) else cast(Output, work(**arguments))
    except Cannot as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT
    except RedisRefuses as error:
        sys.stderr.write(f"{error}: see docs/game-day.md.\n")
        return CANNOT
    except (RedisError, TimeoutError) as error:
        sys.stderr.write(f"{reason(error)}: is REDIS_URL right?\n")
        return CANNOT
    except KeyboardInterrupt:
        return WELL
    if as_json:
        sys.stdout.write(defused(json.dumps(done.data, ensure_ascii=False, indent=2)) + "\n")
        sys.stdout.flush()
    else:
        done.show(out)
    return ILL if done.ill else WELL
