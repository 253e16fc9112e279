"""Each message of a linker is done once, whether it comes once or twice."""

from typing import Any

import pytest

from tests.played import CODE, CONNECTED, START, Player, ended, paired, qr, word
from tests.unit.twice import of
from workers.engine import protocol as pipe

SHOWN: tuple[Any, ...] = (qr(1),)
AGREED: tuple[Any, ...] = (qr(1), paired("79001234567"))
SAID: dict[str, tuple[tuple[Any, ...], Any]] = {
    "ready": ((), pipe.Ready()),
    "qr": ((), qr(1)),
    "code": (SHOWN, CODE),
    "code-refused": (SHOWN, pipe.CodeRefused(status=429, reason="rate-overlimit")),
    "word": (SHOWN, word("timeout")),
    "word that is an end": (SHOWN, word("err-client-outdated")),
    "paired": (SHOWN, paired("79001234567")),
    "connected": (AGREED, CONNECTED),
    "ended": (AGREED, ended("stream ended")),
}


def test_every_message_of_a_linker_is_in_the_table():
    assert {type(said) for _, said in SAID.values()} == of(pipe.FromLinker)


@pytest.mark.parametrize("name", SAID)
def test_what_a_linker_says_twice_is_counted_and_ended_once(name):
    before, said = SAID[name]
    players = []
    for times in (1, 2):
        player = Player(phone="+79001234567" if "code" in name else None, now=START).begin().happen(*before)
        players.append(player.happen(*[said] * times))
    once, twice = players
    assert (once.states, once.counted, once.alerts) == (twice.states, twice.counted, twice.alerts)
    assert once.ending == twice.ending
