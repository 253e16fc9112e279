"""Bodies that the control port accepts. Strict: an unknown field is an error, so a test cannot misspell a fault."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emulator.faults import Fault
from emulator.life import Life

Number = Annotated[str, Field(pattern=r"^(\d{5,15})?$")]


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
    device: int | None = Field(default=None, ge=0, le=255)
    message: str | None = None
    header: str | None = None
    subtext: str | None = None


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
    """Changes of an account; None leaves a field as it is."""

    name: str | None = None
    business_name: str | None = None
    platform: str | None = None
    device_limit: int | None = Field(default=None, ge=0, le=99)
    on_whatsapp: bool | None = None
    also: list[Number] | None = None
    receipts: Literal["none", "delivered", "read", "played"] | None = None
    companions: int | None = Field(default=None, ge=0, le=50)


class ReinstallBody(_Strict):
    """`told`: the server tells the linked devices that have written to the number."""

    told: bool = True


class SayBody(_Strict):
    """A message that a phone writes, to a number or to a group that it is in. `target` and `quoted` are ids of
    messages.

    lid: whether its stanza comes from the writer's lid (as mostly today) or from its number.
    """

    to: Number = ""
    group: str | None = None
    kind: Literal[
        "text", "reaction", "edit", "deletion", "image", "document", "audio", "video", "sticker", "location"
    ] = "text"
    text: str = ""
    target: str = ""
    target_is_own: bool = False
    quoted: str | None = None
    quoted_text: str = ""
    lid: bool = True

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if bool(self.to) == bool(self.group):
            raise ValueError("say either `to` whom or in which `group`")
        if self.kind in ("reaction", "edit", "deletion") and not self.target:
            raise ValueError(f"a {self.kind} needs a `target`")
        return self


class LifeBody(_Strict):
    """Events that shall happen now to the linked devices of a phone, `times` times; `messages` and `chats` say how
    much of it."""

    life: Life
    device: int | None = None
    messages: int = Field(default=20, ge=0, le=200_000)
    chats: int = Field(default=5, ge=1, le=2000)
    times: int = Field(default=1, ge=1, le=10_000)


class ReceiptBody(_Strict):
    """A phone's receipt for the message `message_id` that a linked device of `sender` sent."""

    sender: Number
    message_id: str
    type: Literal["delivered", "read", "played", "retry", "server-error"] = "read"


class GroupBody(_Strict):
    """A group; its first member made it."""

    subject: str = "Group"
    members: list[Number] = Field(min_length=1, max_length=1024)


class CutBody(_Strict):
    """Connections: all that match all that is given."""

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
    life: float | None = Field(default=None, ge=0, le=1)
    minimum_revision: int = Field(default=0, ge=0)
    web_revision: int = Field(default=1_047_769_893, ge=0)
