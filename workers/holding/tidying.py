"""Keeps what is stored of held sessions small: each is tidied up once in a while, one after the other."""

import asyncio
from collections.abc import Callable, Iterable

from shared.core.ids import SessionId
from shared.log import log
from workers.store.device import DeviceStore, StoredDevice

EACH_SECONDS = 3600.0
"""A session with traffic writes 4 MB of log in this time at most, since SQLite itself starts over at that size."""
LOOK_SECONDS = 30.0


class Tidying:
    def __init__(self, store: DeviceStore, held: Callable[[], Iterable[StoredDevice]]) -> None:
        self._store = store
        self._held = held
        self._due: dict[SessionId, float] = {}

    async def run(self) -> None:
        """Tidy up until cancelled. What cannot be reached now is tried again an hour later."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            devices = {device.session: device for device in self._held()}
            self._due = {session: self._due.get(session, clock() + EACH_SECONDS) for session in devices}
            for session in [one for one, due in self._due.items() if due <= clock()]:
                self._due[session] = clock() + EACH_SECONDS
                await self._tidy(devices[session])

    async def _tidy(self, device: StoredDevice) -> None:
        try:
            went = await self._store.tidy(device)
        except OSError as error:  # of the store, too
            log.info("device.not-tidied", session=device.session, error=str(error))
        else:
            if went:
                log.info("device.tidied", session=device.session, rows=went)
