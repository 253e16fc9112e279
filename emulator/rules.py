"""Misbehaviour, and when it happens: rules that are armed, matched and used up. And chaos, from a seed."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from emulator.faults import CHAOS, Fault

_CHAOS_DELAY = 1.5
"""Seconds that a fault of chaos delays things by."""


@dataclass(slots=True)
class Rule:
    """One armed fault.

    `tag` and `phone` narrow it (None matches all). The first `skip` matches pass, the next `times` strike (None: for ever). `delay`
    and `expire` are seconds, `status` is an HTTP, iq, failure or stream status, `ban` the reason of a temporary ban, `device` a device of the number that is written
    to; `message`, `header` and `subtext` are words for the owner in a refusal. A `sticky`
    rule belongs to the behaviour of a phone and is replaced together with it.
    """

    id: int
    fault: Fault
    tag: str | None = None
    phone: str | None = None
    times: int | None = 1
    skip: int = 0
    delay: float | None = None
    status: int | None = None
    ban: int | None = None
    expire: int | None = None
    device: int | None = None
    message: str | None = None
    header: str | None = None
    subtext: str | None = None
    sticky: bool = False

    def matches(self, fault: Fault, tag: str, phone: str | None, device: int | None = None) -> bool:
        narrowed = self.tag in (None, tag) and self.phone in (None, phone) and self.device in (None, device)
        return self.fault == fault and narrowed

    @property
    def words(self) -> dict[str, str]:
        """Sentences of the refusals for the owner, by the names of the attributes."""
        told = {"message": self.message, "logout_message_header": self.header, "logout_message_subtext": self.subtext}
        return {name: text for name, text in told.items() if text}


class Chaos:
    """Random faults at a low rate; the same seed gives the same choices for the same course of things."""

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.seed = rate, seed
        self._random = random.Random(seed)

    def strikes(self, fault: Fault) -> bool:
        return self.rate > 0 and fault in CHAOS and self._random.random() < self.rate


class Rules:
    """The armed rules, in the order in which they were armed."""

    def __init__(self, chaos: Chaos) -> None:
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)
        self._chaos = chaos

    def add(self, rule: Rule) -> Rule:
        rule.id = next(self._ids)
        self._rules.append(rule)
        return rule

    def all(self, *, tag: str | None = None, phone: str | None = None) -> list[Rule]:
        """The armed rules, of this tag and this phone when given."""
        return [
            rule for rule in self._rules if (tag is None or rule.tag == tag) and (phone is None or rule.phone == phone)
        ]

    def remove(self, rules: list[Rule]) -> None:
        self._rules = [rule for rule in self._rules if rule not in rules]

    def take(self, fault: Fault, tag: str, phone: str | None, device: int | None = None) -> Rule | None:
        """The rule that strikes now, used up by one; or None. Called once for each occasion."""
        for rule in self._rules:
            if not rule.matches(fault, tag, phone, device):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                return None
            if rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    self._rules.remove(rule)
            return rule
        if self._chaos.strikes(fault):
            return Rule(0, fault, tag, phone, delay=_CHAOS_DELAY)
        return None
