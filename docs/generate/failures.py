"""The catalogue of failures, with what each means to an operator."""

from docs.generate.markdown import document, generated_from, said, table
from shared.failures import FAILURES, Act, Blame, FailureCode

MEANING: dict[FailureCode, str] = {
    FailureCode.INVALID_PHONE: "The text is no phone number that can exist, by the region's rules.",
    FailureCode.IN_PROGRESS: "An attempt runs that this request does not fit, or a device is linked already.",
    FailureCode.COOL_DOWN: "Our own limit: this phone, company or address has tried too often.",
    FailureCode.WHATSAPP_RATE_LIMITED: "WhatsApp gives this phone no more codes for now (429).",
    FailureCode.CODE_NOT_AVAILABLE: "WhatsApp gives no code for this phone; a QR may still work.",
    FailureCode.CLIENT_OUTDATED: "WhatsApp refuses our version of the library (405): deploy a newer one.",
    FailureCode.PASSKEY_REQUIRED: "The account asks for a passkey, which a linked device like ours cannot give.",
    FailureCode.MULTIDEVICE_OFF: "The phone's app cannot link devices as it is set up.",
    FailureCode.WRONG_NUMBER: "The phone that agreed is not the one that this link was made for.",
    FailureCode.PAIRING_REFUSED: "WhatsApp refused the pairing after the phone had agreed.",
    FailureCode.TEMPORARILY_BANNED: "WhatsApp has banned the account for a time.",
    FailureCode.LOGGED_OUT: "The device was unlinked on the phone.",
    FailureCode.DROPPED_AFTER_LINKING: "The device was linked and lost again at once.",
    FailureCode.CONNECTION_FAILED: "WhatsApp could not be reached, or the connection broke.",
    FailureCode.WORKER_LOST: "The worker with the attempt died, and no other could take it over in time.",
    FailureCode.PAUSED: "An operator's switch has paused onboarding.",
    FailureCode.LINK_SPENT: "The link was used up or revoked.",
    FailureCode.FORBIDDEN: "The link does not allow this.",
    FailureCode.INTERNAL: "A bug of ours; the log and Sentry have it.",
}


def page() -> str:
    """`docs/failures.md`."""
    rows = [
        (
            f"`{code.value}`",
            MEANING[code],
            one.blame.value,
            "yes" if one.retryable else "no",
            one.act.value,
            "yes" if one.alerts else "no",
        )
        for code, one in FAILURES.items()
    ]
    return document(
        "# Failure codes",
        generated_from("shared/failures.py"),
        "A closed set: the page, the metrics, the logs and Sentry use the same words. The sentences for people are in "
        "`frontend/locales/`.",
        table(["code", "what happened", "whose", "retryable", "the page offers", "Sentry hears"], rows),
        "* **whose**: "
        + ", ".join(f"`{blame.value}`" for blame in Blame)
        + f". {said(Blame)}\n"
        + "* **retryable**: the same request can succeed later without anybody changing anything.\n"
        + "* **the page offers**: "
        + ", ".join(f"`{act.value}`" for act in Act)
        + f". {said(Act)}",
    )
