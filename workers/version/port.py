"""The worker's web version, as attempts and held sessions see it."""

from typing import Protocol


class Versions(Protocol):
    """Says whether another try is worth its while."""

    @property
    def in_use(self) -> int:
        """The revision that fresh processes claim."""
        ...

    @property
    def next_try(self) -> int:
        """The moment (ms since the epoch) at which something new is tried."""
        ...

    async def refused(self, library: str | None) -> bool:
        """Report that WhatsApp refuses a process with this library as outdated. True if fresh processes claim a newer
        version."""
        ...

    def accepted(self, library: str | None) -> None:
        """Report that WhatsApp takes a process with this library."""
        ...
