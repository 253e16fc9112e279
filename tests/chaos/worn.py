"""A worker whose holders are worn out at SIGUSR1, as after 500 starts: each is replaced, and its sessions move."""

import signal

from workers import main
from workers.holding import holders

_made: list[holders.Holders] = []


class Remembered(holders.Holders):
    """Can be told to wear out."""

    def __init__(self, *parts):
        super().__init__(*parts)
        _made.append(self)


def wear_out(*_):
    for one in _made:
        for running in list(one._running):
            one._wear(running, holders.MOST_WEAR)


if __name__ == "__main__":
    main.Holders = Remembered  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, wear_out)
    main.main()
