"""Signatures of webhooks, those of the Standard Webhooks specification and our own older ones; and of a return."""

import base64
import binascii
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    """A secret as the specification writes it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret. Raises ValueError if what stands behind `whsec_` is not base64 of 24 to 64 bytes."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("must have base64 of 24 to 64 random bytes after whsec_")
    return key


def signed_headers(secret: str, event_id: str, now: int, body: bytes) -> dict[str, str]:
    """The headers that say who sent `body`. `now`: ms since the epoch, of this try."""
    seconds = now // 1000
    content = f"{event_id}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.digest(key_of(secret), content, "sha256")).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
        # Until 1.0, for receivers that were built before.
        "x-webhook-id": event_id,
        "x-webhook-timestamp": str(now),
        "x-webhook-signature": old_signature(secret, now, body),
    }


def old_signature(secret: str, timestamp: int, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256, in hex, of `<timestamp>.<body>` under the secret's text."""
    return "v1=" + hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()


def return_signature(secret: str, company: str, link: str, status: str, at: int) -> str:
    """The HMAC-SHA256, in hex, by which the integrator knows that a browser's return tells what we have seen."""
    content = f"return.{company}.{link}.{status}.{at}"
    return hmac.digest(key_of(secret), content.encode(), "sha256").hex()
