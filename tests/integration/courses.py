"""Random courses of an attempt: what each linker says, and what others ask meanwhile. `course(seed)` makes the same again."""

import random
from dataclasses import dataclass, field
from typing import Any

from shared.core.clock import now_ms
from workers.engine import protocol as pipe
from workers.engine.processes import Exited, WrongMessage
from workers.linking.attempt import Order
from workers.linking.limits import AttemptLimits

LIMITS = AttemptLimits(qr=80, attempt=120, code=80, code_least=20, used_up_early=10, finish=60)


STATUSES = [None, 400, 403, 418, 429, 452, 500]
WORDS = ["success", "timeout", "error", "err-client-outdated", "err-unexpected-state", "passkey-request", "a new word"]
REASONS = ["timeout", "failed to dial", "no login within 30 s", "something that nobody knows", ""]
PHONES = ["+79001234567", "+79007654321", None]

Event = Any


@dataclass
class Script:
    """One random course: what each linker says, and what others ask meanwhile. Delays in ms."""

    seed: int
    linkers: list[list[tuple[int, Event]]] = field(default_factory=list)
    orders: list[tuple[int, Order | None]] = field(default_factory=list)
    phone: str | None = None
    expected: str | None = None
    pool_fails: bool = False
    adopt_fails: bool = False


def _event(chance: random.Random, number: int) -> Event:
    match chance.choice("QQQCRWWPPKKEXGF"):
        case "Q":
            return pipe.Qr(text=f"https://x#{chance.randrange(3)},k", number=number, born=now_ms())
        case "C":
            return pipe.Code(text="ABCD-EFGH")
        case "R":
            return pipe.CodeRefused(status=chance.choice(STATUSES), reason="said no")
        case "W":
            return pipe.Word(word=chance.choice(WORDS))
        case "P":
            return pipe.Paired(jid="79001234567:1@s.whatsapp.net", lid="")
        case "K":
            return pipe.Connected()
        case "E":
            refusal = chance.choice([None, *pipe.LostReason])
            until = now_ms() + 1000 if refusal is pipe.LostReason.BANNED else None
            return pipe.Ended(reason=chance.choice(REASONS), refusal=refusal, until=until)
        case "X":
            return Exited(None, 6, "panic: somewhere")
        case "G":
            return WrongMessage("gibberish")
        case _:
            return WrongMessage("a line without an end")


def course(seed: int) -> Script:
    """The course of a seed. Half of them begin as good ones do, so that the later steps are reached as well."""
    chance = random.Random(seed)
    script = Script(seed, phone=chance.choice(PHONES), expected=chance.choice([None, None, *PHONES]))
    for _ in range(4):
        events = [(chance.randrange(12), _event(chance, n + 1)) for n in range(chance.randrange(7))]
        if chance.random() < 0.5:
            good: list[Event] = [
                pipe.Qr(text="https://x#a,k", number=1, born=now_ms()),
                pipe.Paired(jid="79001234567:1@s.whatsapp.net", lid=""),
                pipe.Connected(),
            ]
            events = [(chance.randrange(8), one) for one in good[: chance.randrange(1, 4)]] + events
        script.linkers.append(events)
    kinds: list[Order | None] = [Order.CODE, Order.CODE, Order.CANCEL, Order.HAND_OVER, None]
    script.orders = [(chance.randrange(60), chance.choice(kinds)) for _ in range(chance.randrange(3))]
    script.pool_fails = chance.random() < 0.05
    script.adopt_fails = chance.random() < 0.1
    return script
