"""The form of what machines and processes tell each other in memory."""

from dataclasses import dataclass
from typing import dataclass_transform


@dataclass_transform(frozen_default=True)
class Datum:
    """Makes every class below it a frozen dataclass: what happened, or what is to be done, and nothing else."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)
