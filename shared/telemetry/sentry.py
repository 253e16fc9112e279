"""Errors go to Sentry scrubbed, tagged, once, and only when somebody of us can do something about them.

Tags: component (web, worker, engine), operation, companyId, method, failure, status. Extras, where known: the phone,
masked; the type of the error; the library's or WhatsApp's own word. Mistakes of people (`Refused`) never arrive, nor do
failures without `alerts` (shared/core/failures.py).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from shared import VERSION
from shared.core.failures import FAILURES, FailureCode, Refused
from shared.core.ids import SessionId, company_of
from shared.core.phone import masked
from shared.log import log
from shared.settings import Settings
from shared.telemetry import scrub
from shared.telemetry.metrics import ENGINE

if TYPE_CHECKING:
    from sentry_sdk import Scope
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Hint

_reporting: list[str] = []
"""The component that reports. Until there is one the SDK is not loaded, which takes 4 MB and 0.1 s."""


class About(TypedDict, total=False):
    """Context of an event. `phone` is E.164 and leaves masked; `raw` is the library's or WhatsApp's own word."""

    session: SessionId | None
    method: str | None
    failure: FailureCode | None
    phone: str | None
    error_type: str | None
    raw: str | None


def _scrubbed(event: Any, hint: "Hint") -> Any:
    """An event or a breadcrumb without secrets; None for a mistake of somebody who has been told of it."""
    return None if isinstance(hint.get("exc_info", (None, None))[1], Refused) else scrub.deep(event)


def configure(settings: Settings, component: str, transport: "Transport | None" = None) -> None:
    """Start reporting, when there is a DSN. To be called once, at start. `transport`: where events go instead."""
    if settings.sentry_dsn is None:
        return
    import sentry_sdk
    from sentry_sdk.integrations.arq import ArqIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.integrations.redis import RedisIntegration

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        transport=transport,
        release=f"whatsapp-onboarding@{VERSION}",
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_scrubbed,
        before_send_transaction=_scrubbed,
        before_breadcrumb=_scrubbed,
        # Log lines become breadcrumbs, never events of their own: no error is reported twice.
        integrations=[LoggingIntegration(event_level=None)],
        # Arq's does not see workers that are made directly, as ours; the jobs report for themselves (workers/jobs.py).
        # Redis' would have a heartbeat every 2 s push the log lines out of the breadcrumbs.
        disabled_integrations=[ArqIntegration(), RedisIntegration()],
    )
    sentry_sdk.set_tag("component", component)
    sentry_sdk.set_tag("engine", ENGINE)
    _reporting[:] = [component]


def during(operation: str, session: SessionId | None = None) -> None:
    """Tag whatever is reported from here to the end of this request."""
    if _reporting:
        import sentry_sdk

        _tag(sentry_sdk.get_isolation_scope(), operation, {"session": session})


def report(operation: str, error: BaseException, **about: Unpack[About]) -> None:
    """Log an unexpected error and send it to Sentry with its context."""
    kind = about.setdefault("error_type", type(error).__name__)
    session = about.get("session")
    log.error("operation.crashed", operation=operation, session=session, error=kind, exc_info=error)
    _tell(operation, error, about)


def ending(operation: str, code: FailureCode, **about: Unpack[About]) -> None:
    """Tell Sentry of an ended attempt or session, if its failure is one of those that alert. The writer of the
    ending calls this after it was written, so that it arrives once."""
    if FAILURES[code].alerts:
        _tell(operation, f"{operation}: {code.value}", about | {"failure": code}, alike=[operation, code.value])


def no_code(code: FailureCode, **about: Unpack[About]) -> None:
    """Tell Sentry of a pairing code that WhatsApp did not give, grouped by its answer (`429`, `no-answer`). Where none of
    us can act it is a warning: only many at once are news."""
    status = (about.get("raw") or "").split(" ", 1)[0]
    answer = status if status.isdecimal() else "no-answer"
    known: About = {"error_type": "CodeRefused", "method": "code", **about, "failure": code}
    level: Literal["error", "warning"] = "error" if FAILURES[code].alerts else "warning"
    _tell("code", f"code: {code.value} ({answer})", known, alike=["code", answer], level=level, status=answer)


def engine_died(role: str, *, code: int | None, signal: int | None, panic: str | None, **about: Unpack[About]) -> None:
    """An engine process (`linker`, `holder`, `zygote`) died by itself: tell Sentry."""
    alike = ["engine", role, panic or f"{code}/{signal}"]
    extras = {"exitCode": code, "signal": signal, "panic": scrub.text(panic or "")}
    _tell(role, f"engine: {role} died", about, alike=alike, extras=extras, component="engine")


def client_refused(version: str) -> None:
    """WhatsApp refuses the web version that our client claims, and no newer one helps: tell Sentry."""
    said = f"web-version: {version} is refused, and no newer one helps"
    about: About = {"failure": FailureCode.CLIENT_OUTDATED, "raw": version}
    _tell("web-version", said, about, alike=["web-version", version])


def stream_error(name: str, session: SessionId) -> None:
    """WhatsApp ended a connection with an error that the library does not know: tell Sentry, grouped by the error."""
    about: About = {"session": session, "raw": name}
    _tell("stream-error", f"stream-error: {name}", about, alike=["stream-error", name], level="warning")


def _tell(
    operation: str,
    said: str | BaseException,
    about: About,
    *,
    alike: list[str] | None = None,
    level: Literal["error", "warning"] = "error",
    extras: Mapping[str, object] = {},
    **tags: str,
) -> None:
    """Send a message or an error; those that are `alike` make one issue."""
    if not _reporting:
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        _tag(scope, operation, about, tags, extras)
        if isinstance(said, BaseException):
            sentry_sdk.capture_exception(said)
        else:
            scope.fingerprint = alike
            sentry_sdk.capture_message(said, level=level)


def _tag(
    scope: "Scope", operation: str, about: About, tags: Mapping[str, str] = {}, extras: Mapping[str, object] = {}
) -> None:
    session, failure, phone = about.get("session"), about.get("failure"), about.get("phone")
    all_tags = {
        "operation": operation,
        "companyId": _company(session) if session else None,
        "method": about.get("method"),
        "failure": failure.value if failure else None,
        **tags,
    }
    all_extras = {
        "phone": masked(phone) if phone else None,
        "errorType": about.get("error_type"),
        "raw": scrub.text(about.get("raw") or ""),
        **extras,
    }
    scope.set_tags({name: value for name, value in all_tags.items() if value})
    for name, value in all_extras.items():
        if value not in {None, ""}:
            scope.set_extra(name, value)


def _company(session: SessionId) -> str | None:
    try:
        return company_of(session)
    except ValueError:  # what is no session may be the very error
        return None
