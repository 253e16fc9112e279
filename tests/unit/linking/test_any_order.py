"""Random attempts, against rules that say nothing of the table.

Linkers speak in any order; what they say is lost or comes twice. Orders come at any moment. Redis and the store answer,
forget, refuse or break. ORDERS=3000 plays so many attempts (by default 120).
"""

import os
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.core.failures import FailureCode
from shared.core.lifecycle import RUNNING, STEPS, State
from tests.played import CODE, CONNECTED, RETRY_AT, Player, ended, paired, qr, word
from workers.engine import protocol as pipe
from workers.engine.orders import Exited
from workers.linking import course as c
from workers.linking.course import Order, Phase
from workers.rules import kind_of

PHONE, OTHER = "+79001112233", "+79007654321"
SAID = [
    qr(1),
    qr(1, secret="t"),
    qr(2),
    qr(3),
    CODE,
    pipe.CodeRefused(status=429, reason=""),
    pipe.CodeRefused(status=418, reason=""),
    *map(word, ("success", "error", "timeout", "err-client-outdated", "a new word")),
    paired(PHONE[1:]),
    paired(OTHER[1:]),
    CONNECTED,
]
LAST_WORDS = [
    ended("EOF"),
    ended("banned", pipe.LostReason.BANNED, RETRY_AT),
    ended("outdated", pipe.LostReason.OUTDATED),
    Exited(None, 6, "panic: somewhere"),
    Exited(0, None, None),
]
PHONES = some.sampled_from([None, PHONE, OTHER])
ANSWERED = [
    c.Learn,
    c.Advance,
    c.ClaimCode,
    c.BookRefusal,
    c.Deed.JUDGE,
    c.Adopt,
    c.Deed.SPEND_LINK,
    c.LogOutDevice,
    c.SeekNewer,
]


class Broken(Exception):
    """Redis or the store is away, or we have a bug."""


class Around(Player):
    """The world around an attempt: it breaks when it is told to, and watches the linker's life."""

    breaks: object = None
    linker = False
    asked = False  # for a code, on this connection
    refused_by: pipe.LostReason | None = None  # the device, at its first login

    def drive(self, event):
        """As the driver of an attempt does: what breaks ends the attempt."""
        try:
            self.happen(event)
        except Broken:
            self.happen(c.Broke("Broken"))

    def _answer(self, effect):
        if kind_of(effect) is self.breaks:
            self.breaks = None
            raise Broken
        match effect:
            case c.Dial(jid=jid):
                assert jid or not self.linker, (
                    "one linker at a time; the next one of a device takes the place of the first"
                )
                assert bool(jid) == (self.course.phase is Phase.AGREED), "a device logs in, anybody else pairs"
                self.linker = True
            case c.HangUp():
                self.linker = self.asked = False
            case c.AskCode():
                assert self.linker
                assert not self.asked, "a newer code kills the older"
                self.asked = True
            case c.BookRefusal():
                self.asked = False
            case c.Advance():
                assert not self.did(c.Adopt)
                assert not self.course.jid, "a phone that has agreed is not asked again"
            case c.Adopt():
                assert self.linker
                assert len(self.did(c.Adopt)) == 1, "made durable once"
            case c.LogOutDevice() | c.HoldLinked():
                assert not self.linker, "one connection of a device at a time"
            case c.End() | c.Deed.GIVE_LEASE_BACK | c.Restart():
                assert not self.linker, "nothing of the connection outlives the attempt"
            case _:
                pass
        return super()._answer(effect)


class AnyOrder(RuleBasedStateMachine):
    """One attempt."""

    @initialize(phone=PHONES, expected=PHONES, warm=some.booleans())
    def begins(self, phone, expected, warm):
        self.player = Around(phone=phone, expected=expected, warm=warm)
        self.player.drive(c.Began(warm))

    def living(self):
        return hasattr(self, "player") and self.player.linker

    @precondition(living)
    @rule(said=some.lists(some.sampled_from(SAID), min_size=1, max_size=3), twice=some.booleans())
    def the_linker_speaks(self, said, twice):
        for one in said:
            for _ in range(1 + twice):
                self.player.drive(one)

    @precondition(living)
    @rule()
    def all_goes_well(self):
        for one in (qr(1), paired(PHONE[1:]), CONNECTED):
            self.player.drive(one)

    @precondition(living)
    @rule(said=some.sampled_from(LAST_WORDS))
    def the_linker_ends(self, said):
        self.player.linker = self.player.asked = False
        self.player.refused_by = getattr(said, "refusal", None)
        self.player.drive(said)

    @rule(order=some.sampled_from(Order))
    def somebody_orders(self, order):
        before, done = self.player.course, len(self.player.done)
        self.player.drive(order)
        if order is Order.LOST or (before.phase is not Phase.AGREED and order is not Order.CODE):
            assert self.player.course.phase is Phase.OVER
        if before.phase is Phase.AGREED and order in {Order.CANCEL, Order.HAND_OVER, Order.CODE}:
            assert (self.player.course, len(self.player.done)) == (before, done)

    @rule(phone=PHONES)
    def the_owner_asks_for_a_code(self, phone):
        self.player.phone = phone
        self.player.drive(Order.CODE)

    @rule(ms=some.integers(1, 200_000))
    def time_passes(self, ms):
        self.player.later(ms)
        if self.player.now > self.player.course.deadline:
            self.player.drive(c.Turning.TIME_IS_UP)
            assert self.player.course.phase is Phase.OVER, "whatever happens, an attempt ends"

    @rule(
        refused=some.sampled_from([None, None, FailureCode.PAUSED]),
        denied=some.sampled_from([None, None, c.CodeDenied(FailureCode.IN_PROGRESS, RETRY_AT)]),
        revoked=some.booleans(),
        spent=some.booleans(),
        newer=some.booleans(),
        breaks=some.sampled_from([None, None, *ANSWERED]),
    )
    def the_world_changes(self, refused, denied, revoked, spent, newer, breaks):
        player = self.player
        player.refused, player.code_denied, player.breaks = refused, denied, breaks
        player.revoked, player.spent, player.newer = revoked, spent, newer

    @invariant()
    def the_page_sees_what_the_lifecycle_allows(self):
        if not hasattr(self, "player"):
            return
        player, body = self.player, self.player.course.body
        assert all(new in STEPS[old] for old, new in pairwise(State(one) for one in player.states))
        assert player.states.count("linked") <= 1
        if player.course.phase is not Phase.OVER:
            assert player.linker, "somebody is waited for"
            assert player.course.phase in {Phase.CONNECTING, Phase.SHOWING, Phase.AGREED}
            wanted = player.course.phase is Phase.SHOWING and player.course.subject.phone is not None
            assert player.asked or not wanted, "a code that is wanted is asked for, or denied"
            assert body.state in RUNNING
            assert 0 < player.course.deadline - player.now <= player.course.limits.attempt
            assert (body.qr is not None) == (body.state is State.AWAITING_PHONE)
            assert body.code is None or player.asked, "a code dies with its connection"
        assert player.course.restarts <= player.course.limits.restarts

    @invariant()
    def it_ends_once_and_in_one_way(self):
        if not hasattr(self, "player"):
            return
        player = self.player
        ways = [player.ending is not None, bool(player.did(c.Restart))]
        assert sum(ways) <= 1
        assert len(player.did(c.Deed.GIVE_LEASE_BACK)) <= 1
        if any(ways):
            assert player.course.phase is Phase.OVER
            assert not player.linker
        if player.course.phase is Phase.OVER and player.course.jid and not player.refused_by:
            logged_out = bool(player.did(c.HangUp)[-1].jid)
            assert logged_out is (player.course.device is None), "nobody keeps a device, or it is logged out"
        if player.held is not None:
            assert player.ending == player.held.body
            assert not player.did(c.LogOutDevice)
            assert player.did(c.Deed.SPEND_LINK)
            assert player.expected in {None, PHONE, OTHER}
        if player.course.phase is Phase.OVER:
            before = len(player.done)
            player.happen(*SAID, *LAST_WORDS, *Order, c.Turning.TIME_IS_UP, c.Broke("late"))
            assert len(player.done) == before, "when it is over, nothing happens any more"

    def teardown(self):
        if hasattr(self, "player"):
            self.player.drive(c.Turning.TIME_IS_UP)
            assert self.player.course.phase is Phase.OVER
            assert not self.player.linker


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=int(os.environ.get("ORDERS", "120")), stateful_step_count=25)
TestAnyOrder.pytestmark = [pytest.mark.timeout(900)]  # type: ignore[attr-defined]
