"""Guests that have not said yet what they want, limited in number by address and in total."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Antechamber(Generic[T]):
    """Places to wait. If its address has too many, or all places are taken, a newcomer replaces the guest that has
    waited longest there. So an honest caller, which speaks at once, gets in while thousands wait on purpose."""

    def __init__(self, most: int, most_of_address: int, show_out: Callable[[T], None]) -> None:
        """`show_out` ends a guest's wait."""
        self._most = most
        self._most_of_address = most_of_address
        self._show_out = show_out
        self._waiting: dict[T, str | None] = {}
        self._of_address: dict[str, dict[T, None]] = {}

    def enter(self, guest: T, address: str | None) -> None:
        """Begin to wait. `address` is None for a router, behind which there are many callers."""
        if address is not None:
            neighbours = self._of_address.get(address)
            if neighbours is not None and len(neighbours) >= self._most_of_address:
                self._end(next(iter(neighbours)))
        if len(self._waiting) >= self._most:
            self._end(next(iter(self._waiting)))
        self._waiting[guest] = address
        if address is not None:
            self._of_address.setdefault(address, {})[guest] = None

    def leave(self, guest: T) -> None:
        """Wait no more. Idempotent."""
        address = self._waiting.pop(guest, None)
        if address is not None and (neighbours := self._of_address.get(address)) is not None:
            neighbours.pop(guest, None)
            if not neighbours:
                del self._of_address[address]

    def _end(self, guest: T) -> None:
        self.leave(guest)
        self._show_out(guest)
