"""Structured logs: one JSON object a line on stdout, events named `noun.verb`, secrets taken out last.

Each end has one canonical line with everything about it: `attempt.ended`, `session.ended`, `worker.stopped`.
The level can be changed while the process runs (shared/state/switches.py).
"""

import json
import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from shared.core.plain import defused
from shared.settings import Settings
from shared.telemetry import scrub

#: Chatter that says nothing an operator acts on; arq also logs job arguments.
_QUIET = {"arq": logging.WARNING, "uvicorn": logging.WARNING, "httpx": logging.WARNING, "asyncio": logging.INFO}


#: Fields that we make of nothing secret: a worker's name may look like a phone number.
_OURS = frozenset({"timestamp", "session", "worker"})


def _scrubbed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: value if key in _OURS else scrub.deep(value) for key, value in event.items()}


def _json(event: EventDict, **options: Any) -> str:
    """A line that steers no terminal on which somebody follows the log."""
    return defused(json.dumps(event, **options))


def _is_ours(record: logging.LogRecord) -> bool:
    """False for the traceback that uvicorn logs when a stranger sends text that is not UTF-8."""
    return not record.getMessage().startswith("Invalid UTF-8 sequence")


def set_level(level: str) -> None:
    """Log from this level on (`debug`, `info`, `warning`, `error`), at once."""
    root, wanted = logging.getLogger(), logging.getLevelNamesMapping()[level.upper()]
    if root.level != wanted:
        root.setLevel(wanted)
        structlog.get_logger().warning("log.level-changed", to=level)


def configure(settings: Settings, component: str) -> None:
    """Send this process' own and its libraries' logs through one chain. To be called once, at start."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _scrubbed,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(_json, ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_is_ours)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(component=component)
