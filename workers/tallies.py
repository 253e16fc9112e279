"""Counters of each step of an attempt, in the notation of shared/telemetry/metrics.py.

`known`: the region of the phone that was typed or that the link expects; `ZZ` for none. A funnel has it in all stages, so
that they are comparable. `region` is the linked phone's.
"""

from shared.core.lifecycle import State
from shared.core.protocol import Body, DeviceView, MessageType, Method
from shared.state.snapshots import Change
from shared.telemetry.metrics import Counter, Histogram, Mark, Stage, Swept, ended, field, first, funnel, timed


def qr_shown(method: Method, known: str, number: int) -> tuple[str, ...]:
    """A QR. Only where the owner came for a QR it is what he waits for."""
    shown = (field(Counter.QR_SHOWN),)
    if method is Method.CODE or number > 1:
        return shown
    return (
        *shown,
        first(Mark.SHOWN, funnel(Stage.SHOWN, method, known)),
        timed(Mark.SHOWN, Mark.CLICKED, Histogram.CLICK_TO_SHOWN, method),
    )


def code_shown(region: str) -> tuple[str, ...]:
    return (
        field(Counter.CODES_GENERATED, region=region),
        first(Mark.CODED, funnel(Stage.SHOWN, Method.CODE, region)),
        timed(Mark.CODED, Mark.ASKED, Histogram.CLICK_TO_SHOWN, Method.CODE),
    )


def agreed(method: Method, known: str) -> tuple[str, ...]:
    return (first(Mark.AGREED, funnel(Stage.AGREED, method, known)),)


def linked(method: Method, known: str, region: str) -> tuple[str, ...]:
    """The device is logged in and safe."""
    since = Mark.CODED if method is Method.CODE else Mark.SHOWN
    return (
        field(Counter.LINKED, method=method.value, region=region),
        *((field(Counter.CODE_SUCCESSES),) if method is Method.CODE else ()),
        first(Mark.LINKED, funnel(Stage.LINKED, method, known)),
        timed(Mark.LINKED, since, Histogram.SHOWN_TO_LINKED, method),
        ended(State.LINKED),
    )


def linked_late(device: DeviceView, method: Method, known: str, region: str, *counters: str) -> Change:
    """The ending of an attempt whose worker died after the device was safe, before it could say so."""
    body, counted = Body(state=State.LINKED, method=method, device=device), linked(method, known, region)
    kind = MessageType.WHATSAPP_CONNECTED
    return Change(body, kind, "attempt.linked", region, (*counters, *counted), ending=True)


def verified(method: Method, known: str, region: str) -> tuple[str, ...]:
    """The device outlived the dwell."""
    return (field(Counter.VERIFIED, method=method.value, region=region), funnel(Stage.VERIFIED, method, known))


def swept(kind: Swept) -> str:
    return field(Counter.SWEPT, kind=kind.value)
