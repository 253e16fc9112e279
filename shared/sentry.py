"""Errors go to Sentry scrubbed, tagged, and only when somebody of us can do something about them."""

from typing import Any

import sentry_sdk
import structlog
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.types import Event, Hint

from shared import scrub
from shared.failures import FAILURES, FailureCode, Refused
from shared.ids import SessionId, company_of
from shared.settings import Settings

log = structlog.get_logger()


def _scrubbed(event: Event, hint: Hint) -> Event | None:
    error = hint.get("exc_info", (None, None))[1]
    if isinstance(error, Refused):
        return None  # somebody's mistake, already told to them
    scrubbed: Event = scrub.deep(event)
    return scrubbed


def _crumb(crumb: dict[str, Any], _hint: Hint) -> dict[str, Any]:
    scrubbed: dict[str, Any] = scrub.deep(crumb)
    return scrubbed


def configure(settings: Settings, component: str) -> None:
    """Start reporting, when there is a DSN. To be called once, at start."""
    if settings.sentry_dsn is None:
        return
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_scrubbed,
        before_send_transaction=_scrubbed,
        before_breadcrumb=_crumb,
        # Log lines become breadcrumbs, never events of their own: no error is reported twice.
        integrations=[LoggingIntegration(event_level=None)],
    )
    sentry_sdk.set_tag("component", component)


def report(operation: str, error: BaseException, *, session: SessionId | None = None, **tags: str) -> None:
    """Log an unexpected error and send it to Sentry with its context."""
    log.error(
        "operation.crashed", operation=operation, session=session, error=type(error).__name__, exc_info=error, **tags
    )
    with sentry_sdk.new_scope() as scope:
        _tag(scope, operation, session, tags)
        sentry_sdk.capture_exception(error)


def ending(operation: str, code: FailureCode, *, session: SessionId, raw: str = "", **tags: str) -> None:
    """Tell Sentry of an attempt that ended in a failure which somebody of us must hear of; others pass silently."""
    if not FAILURES[code].alerts:
        return
    with sentry_sdk.new_scope() as scope:
        _tag(scope, operation, session, {**tags, "failure": code.value})
        scope.set_extra("raw", scrub.text(raw))
        scope.fingerprint = [operation, code.value]
        sentry_sdk.capture_message(f"{operation}: {code.value}", level="error")


def _tag(scope: sentry_sdk.Scope, operation: str, session: SessionId | None, tags: dict[str, str]) -> None:
    scope.set_tag("operation", operation)
    if session is not None:
        scope.set_tag("companyId", company_of(session))
    for key, value in tags.items():
        scope.set_tag(key, value)
