"""Held sessions are tidied up in turn; a store that is away costs nobody anything."""

import asyncio

import pytest

from shared.core.ids import SessionId
from tests.waiting import beside, until
from workers.holding import tidying as module
from workers.holding.tidying import Tidying
from workers.store.device import StoreAway, StoredDevice


def device(name):
    return StoredDevice(SessionId(name), "1:1@s.whatsapp.net", 0, "/nowhere")


class FakeStore:
    def __init__(self):
        self.tidied = []

    async def tidy(self, one):
        self.tidied.append(one.session)
        if one.session == "company_b":
            raise StoreAway("the disk is full")
        return 1


@pytest.mark.parametrize("each", [0.0, 1000.0])
async def test_each_held_session_has_its_turn_again_and_again(monkeypatch, each):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(module, "EACH_SECONDS", each)
    store, held = FakeStore(), [device("company_a"), device("company_b")]
    looked = asyncio.Event()

    def those():
        looked.set()
        return held

    async with beside(Tidying(store, those).run()):  # type: ignore[arg-type]
        if each:
            await looked.wait()
            await asyncio.sleep(0)
            assert store.tidied == [], "not at once: it has just been taken up"
        else:
            await until(lambda: store.tidied[:4] == ["company_a", "company_b"] * 2)
            held.pop(0)
            await until(lambda: store.tidied[-3:] == ["company_b"] * 3)
