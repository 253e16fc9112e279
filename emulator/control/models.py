"""What the control port accepts. Strict: an unknown field is an error, so a test cannot misspell a fault."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from emulator.faults import Fault


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleBody(_Strict):
    """See rules.Rule."""

    fault: Fault
    tag: str | None = None
    phone: str | None = Field(default=None, pattern=r"^\d{5,15}$")
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    delay: float | None = Field(default=None, ge=0)
    status: int | None = None
    ban: int | None = None
    expire: int | None = None


class BehaviourBody(_Strict):
    """The lasting behaviour of a phone; replaces what was set before. `times` is ignored: it lasts."""

    rules: list[RuleBody]


class ScanBody(_Strict):
    """Either the text of the QR, or a picture (PNG or JPEG) in base64."""

    qr: str | None = None
    png_base64: str | None = None


class TypeBody(_Strict):
    code: str = Field(max_length=64)


class LogoutBody(_Strict):
    """Without `device`: all devices."""

    device: int | None = None


class PhoneBody(_Strict):
    """What to change about an account; None leaves it."""

    name: str | None = None
    business_name: str | None = None
    platform: str | None = None
    device_limit: int | None = Field(default=None, ge=0, le=99)


class CutBody(_Strict):
    """Which connections: all that match all that is given."""

    tag: str | None = None
    phone: str | None = None
    connection: int | None = None


class SettingsBody(_Strict):
    """See settings.TagSettings; what is missing goes back to the default."""

    refs: int = Field(default=6, ge=0, le=20)
    pairing_seconds: float = Field(default=165.0, ge=0)
    ref_grace: float = Field(default=20.0)
    code_seconds: float = Field(default=180.0, ge=0)
    code_tries: int = Field(default=3, ge=1)
    finish_seconds: float = Field(default=60.0, ge=0)
    codes_per_number: int = Field(default=0, ge=0)
    restart_delay: float = Field(default=0.0, ge=0)
    goodbye_delay: float = Field(default=0.5, ge=0)
    answer_delay: float = Field(default=0.0, ge=0)
    minimum_revision: int = Field(default=0, ge=0)
    web_revision: int = Field(default=1_047_769_893, ge=0)
