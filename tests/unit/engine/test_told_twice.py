"""Each order to an engine process is done once, whether it comes once or twice."""

import asyncio
import importlib
import sys
import typing
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.unit.holding.house import SESSION
from tests.unit.twice import of
from workers.engine import protocol as pipe

ORDERS: dict[str, pipe.Line] = {
    "hold": pipe.Hold(session=SESSION, database="/x", jid="7:1@s.whatsapp.net"),
    "release": pipe.Release(session=SESSION),
    "log-out": pipe.LogOut(session=SESSION),
    "send": pipe.Send(session=SESSION, message="m", to="+79007654321", text="hello"),
    "look": pipe.Look(session=SESSION, question="q", numbers=[]),
    "probe": pipe.Probe(),
}


def test_every_order_to_a_holder_is_in_the_table():
    assert {type(one) for one in ORDERS.values()} == of(pipe.ToHolder)


class FakeSession:
    """Of a library that does nothing; how often it was begun."""

    begun = 0
    stuck = leaving = False
    up, number = True, ""
    sent: typing.ClassVar[list[str]] = []

    def __init__(self, hold: pipe.Hold, _library: object, tell: Any) -> None:
        type(self).begun += 1
        self.name, self._tell = hold.session, tell
        self.gone, self._end = asyncio.Event(), asyncio.Event()
        self.client = self
        self.tell = tell
        self.texts = importlib.import_module("workers.engine.child.texts").TextTurns(self)

    async def live(self) -> pipe.Line:
        await self._tell(pipe.Held(session=self.name))
        await self._end.wait()
        return pipe.Released(session=self.name)

    async def stop(self) -> None:
        """Stopped by its `live`."""

    async def report_up(self) -> None:
        await self._tell(pipe.Held(session=self.name))

    def release(self, *_: object) -> None:
        self._end.set()

    async def log_out(self) -> None:
        self._end.set()

    async def send_text(self, _to: str, text: str) -> tuple[str, int]:
        self.sent.append(text)
        return "3EB0", 5


@pytest.fixture
def load(monkeypatch):
    """Loads a child's module over a library that is not there: to load the real one is for processes of its own."""
    package = "workers.engine.child."
    known = {name: module for name, module in sys.modules.items() if name.startswith(package)}
    library = ModuleType(f"{package}client")
    library.__getattr__ = lambda name: type(name, (Exception,), {})  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, f"{package}client", library)

    def loaded(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, f"{package}{name}", raising=False)
        return importlib.import_module(f"{package}{name}")

    yield loaded
    for name in [one for one in sys.modules if one.startswith(package)]:
        del sys.modules[name]
    sys.modules.update(known)


@pytest.mark.parametrize("name", ORDERS)
async def test_what_a_holder_is_told_twice_is_done_once(monkeypatch, load, name):
    holder_module = load("holder")
    monkeypatch.setattr(FakeSession, "begun", 0)
    monkeypatch.setattr(FakeSession, "sent", [])
    monkeypatch.setattr(holder_module, "Session", FakeSession)
    monkeypatch.setattr(holder_module, "leave", lambda: None)

    async def nobody(*_: object) -> list[pipe.Person]:
        return []

    monkeypatch.setattr(holder_module, "look", nobody)
    told: list[pipe.Line] = []
    orders: asyncio.Queue[pipe.Line | None] = asyncio.Queue()
    said = asyncio.Event()

    async def tell(line: pipe.Line) -> None:
        told.append(line)
        said.set()

    holding = holder_module.Holding(SimpleNamespace(starts=1), SimpleNamespace(send=tell, receive=orders.get))
    serving = asyncio.create_task(holding.serve())
    orders.put_nowait(ORDERS["hold"])
    await said.wait()
    for _ in range(2):
        orders.put_nowait(ORDERS[name])
    orders.put_nowait(ORDERS["release"])
    orders.put_nowait(None)
    await serving
    assert (FakeSession.begun, len(FakeSession.sent)) == (1, name == "send")
    released = [one for one in told if isinstance(one, pipe.Released)]
    assert 1 <= len(released) <= 3, "who asks again is told again"
    assert not holding._sessions


TOLD: dict[str, pipe.Line] = {
    "start": pipe.Start(database="/x"),
    "request-code": pipe.RequestCode(phone="+79001234567"),
}


def test_every_order_to_a_linker_is_in_the_table():
    assert {type(one) for one in TOLD.values()} == of(pipe.ToLinker)


class FakeLinkedClient:
    """Of a library that shows one QR, and gives codes when the test says so."""

    made: typing.ClassVar[list["FakeLinkedClient"]] = []

    def __init__(self, *_: object, **__: object) -> None:
        self.made.append(self)
        self.happenings: asyncio.Queue[Any] = asyncio.Queue()
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def start(self) -> None: ...

    async def pair_phone(self, phone: str) -> str:
        self.asked.append(phone)
        await self.answers.wait()
        return "ABCDEFGH"


@pytest.mark.parametrize("name", TOLD)
async def test_what_a_linker_is_told_twice_makes_one_client_and_asks_for_one_code(monkeypatch, load, name):
    linker = load("linker")
    monkeypatch.setattr(linker, "Client", FakeLinkedClient)
    monkeypatch.setattr(FakeLinkedClient, "made", [])
    gone = asyncio.Event()

    monkeypatch.setattr(linker, "leave", gone.set)
    orders: asyncio.Queue[pipe.Line | None] = asyncio.Queue()
    told: asyncio.Queue[pipe.Line] = asyncio.Queue()
    client = FakeLinkedClient()
    run = linker.LinkerRun(None, SimpleNamespace(send=told.put, receive=orders.get), TOLD["start"], client)
    running = asyncio.create_task(run.run())
    (one,) = FakeLinkedClient.made
    one.happenings.put_nowait(linker.happen.QrShown("qr"))
    for order in (TOLD[name], TOLD[name], TOLD["request-code"]):
        orders.put_nowait(order)
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        while not orders.empty():
            await asyncio.sleep(0)
        one.answers.set()
        assert [type(await told.get()) for _ in range(2)] == [pipe.Qr, pipe.Code]
        assert one.asked == ["+79001234567"]
        orders.put_nowait(TOLD["request-code"])  # the code is over, and another is wanted
        assert isinstance(await told.get(), pipe.Code)
        orders.put_nowait(None)
        await gone.wait()
    running.cancel()
    assert len(FakeLinkedClient.made) == 1
    assert told.empty()
