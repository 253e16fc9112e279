"""The catalogue of failures, with what each means to an operator."""

from enum import StrEnum

from docs.generate.markdown import document, generated_from, said, table
from shared.core.failures import FAILURES, Failure, FailureCode
from tests.scenarios import SCENARIOS, Scenario, words

MEANING: dict[FailureCode, str] = {
    FailureCode.INVALID_PHONE: "The text is no phone number that can exist, by the region's rules.",
    FailureCode.IN_PROGRESS: "An attempt runs that this request does not fit, or a device is linked already.",
    FailureCode.COOL_DOWN: "Our own limit: this phone, company or address has tried too often, or ten attempts were "
    "begun for this company within ten minutes.",
    FailureCode.WHATSAPP_RATE_LIMITED: "WhatsApp gives this phone no more codes for now (429).",
    FailureCode.CODE_NOT_AVAILABLE: "WhatsApp gives no code for this phone; a QR may still work.",
    FailureCode.CLIENT_OUTDATED: "WhatsApp refuses the version that our client claims (405). A newer one is looked for; when none helps, Sentry hears of it once a day.",
    FailureCode.PASSKEY_REQUIRED: "The account asks for a passkey, which this service's library cannot give. Link the number with a client that can, then take the device over with `onboarding import` ([moving-in.md](moving-in.md)).",
    FailureCode.MULTIDEVICE_OFF: "The phone's app cannot link devices as it is set up.",
    FailureCode.WRONG_NUMBER: "The phone that agreed is not the one that this link was made for.",
    FailureCode.LINKED_ELSEWHERE: "Another company here holds a device of this phone. A code for it may cost that device, so none is asked for. "
    "The owner unlinks it there first, or scans the QR, which harms no other device. `onboarding timeline` names the other company; the page does not.",
    FailureCode.PAIRING_REFUSED: "WhatsApp refused the pairing after the phone had agreed.",
    FailureCode.TEMPORARILY_BANNED: "WhatsApp has banned the account for a time.",
    FailureCode.ACCOUNT_RESTRICTED: "WhatsApp has locked (403) or banned (406) the account; the owner learns more in the phone's app. A linked device is kept, "
    "and tried again for a month.",
    FailureCode.LOGGED_OUT: "The device was unlinked on the phone.",
    FailureCode.DROPPED_AFTER_LINKING: "The device was linked and lost again at once.",
    FailureCode.CONNECTION_FAILED: "WhatsApp could not be reached, or the connection broke.",
    FailureCode.WORKER_LOST: "The worker with the attempt died, and no other could take it over in time.",
    FailureCode.PAUSED: "An operator's switch has paused onboarding.",
    FailureCode.NO_ROOM: "Every worker holds as many sessions as it may (`MAX_SESSIONS`), or so many people wait for a place "
    "that one more would wait in vain (`MAX_WAITING`). Told before the scan.",
    FailureCode.LINK_SPENT: "The link was used up or revoked, or its time is over. A phone that agreed meanwhile is "
    "logged out again.",
    FailureCode.FORBIDDEN: "The link does not allow this.",
    FailureCode.INTERNAL: "A bug of ours; the log and Sentry have it.",
}


HEADS = {"blame": "whose", "act": "the page offers", "alerts": "Sentry hears"}
"""Heads of columns that need other words than the field."""


def page() -> str:
    """`docs/failures.md`. Raises KeyError for a code without a meaning."""
    columns = Failure.__struct_fields__
    rows = [
        (f"`{code.value}`", MEANING[code], *(_cell(getattr(one, column)) for column in columns))
        for code, one in FAILURES.items()
    ]
    sets = dict.fromkeys(type(value) for one in FAILURES.values() for value in (getattr(one, name) for name in columns))
    return document(
        "# Failure codes",
        generated_from("shared/core/failures.py", "tests/scenarios.py"),
        "A closed set: the page, the metrics, the logs and Sentry use the same words. The sentences for people are in "
        "`frontend/locales/`.",
        table(["code", "what happened", *(HEADS.get(column, column) for column in columns)], rows),
        said(Failure),
        "\n".join(
            f"* {', '.join(f'`{word.value}`' for word in one)}: {said(one)}" for one in sets if issubclass(one, StrEnum)
        ),
        "# Scenarios",
        "What happens, what the owner and the phone do, and what comes of it. `tests/e2e/test_scenarios.py` plays every "
        "row with the real library against the emulator; the faults are those of `emulator/faults.py`.",
        table(
            [
                "situation",
                "fault",
                "the owner and the phone",
                "states",
                "failure",
                "the page says",
                "counted",
                "Sentry",
            ],
            (_row(scenario) for scenario in SCENARIOS),
        ),
        "* **states**: in order, without repetitions; `refused` is a command that is answered by an error.\n"
        "* **failure**: the code; with *when*, the answer carries the moment from which it may be tried again.\n"
        "* **the page says**: the key of the words in `frontend/locales/`, and their English.\n"
        "* **counted**: the field of `wa:stats` that moves by one; behind `/metrics` it is called `wa_<name>_total`.\n"
        "* **Sentry**: the level at which it hears. Each code that WhatsApp did not give is told, grouped by WhatsApp's answer; a "
        "warning where nobody of us can act.",
    )


def _row(scenario: Scenario) -> tuple[str, ...]:
    settings = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in scenario.settings.items())
    failure = f"`{scenario.failure.value}`" if scenario.failure else "-"
    return (
        scenario.name,
        ", ".join(str(arm) for arm in scenario.arms) or settings or "-",
        scenario.play.value,
        " → ".join(scenario.states.split()),
        failure + (", *when*" if scenario.retry_at else ""),
        f"`{scenario.text}`: {words(scenario)}",
        f"`{scenario.counts}`",
        scenario.level or "no",
    )


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.value if isinstance(value, StrEnum) else str(value)
