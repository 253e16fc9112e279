"""The form of plain values: what machines and processes tell each other in memory, a row of a table, an answer."""

from typing import dataclass_transform

from msgspec import Struct, field
from msgspec.structs import asdict, replace

__all__ = ["Datum", "asdict", "field", "replace"]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Datum(Struct, frozen=True):
    """A value whose fields nobody changes: smaller and quicker than a frozen dataclass."""
