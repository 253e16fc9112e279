"""An attempt that is refused for its version, taken back or handed over, by the machine alone."""

from shared.core.failures import FailureCode
from shared.core.protocol import Method
from tests.each import each
from tests.played import CONNECTED, RETRY_AT, Player, paired, qr
from tests.unit.linking.playing import (
    LIMITS,
    LINKED_STATES,
    NUMBER,
    OUTDATED,
    PHONE,
    TOO_OLD,
    failure,
    kinds,
    linked,
    shown,
)
from workers.linking import course as c
from workers.linking.course import Order, Phase


@each("begun", [lambda **more: Player(**more).begin(), shown])
def test_a_refused_version_is_followed_by_a_newer_one_so_often_and_no_more(begun):
    player = begun(newer=True)
    for number in range(1, LIMITS.restarts + 1):
        player.happen(OUTDATED)
        assert player.course.phase is Phase.CONNECTING
        assert player.course.restarts == number
        assert len(player.did(c.Dial)) == number + 1
    assert len(player.did(c.HangUp)) == LIMITS.restarts
    player.happen(OUTDATED)
    assert failure(player) is FailureCode.CLIENT_OUTDATED


@each(
    ("begun", "event", "raw"),
    [
        (lambda: Player().begin(), OUTDATED, "err-client-outdated"),
        (shown, OUTDATED, "err-client-outdated"),
        (lambda: shown().happen(paired(NUMBER)), OUTDATED, "err-client-outdated"),
        (lambda: shown().happen(paired(NUMBER)), TOO_OLD, "client outdated (405)"),
    ],
)
def test_with_no_newer_version_it_ends_and_says_when_something_new_is_tried(begun, event, raw):
    player = begun().happen(event)
    assert (failure(player), player.ending.failure.retry_at) == (FailureCode.CLIENT_OUTDATED, RETRY_AT)
    [end] = player.did(c.End)
    assert (end.raw, end.alert, player.alerts) == (raw, False, [])
    assert kinds(player)[-3:] == ["HangUp", "End", "GiveLeaseBack"]


def test_after_the_yes_another_linker_logs_in_with_the_newer_version_once():
    player = shown(newer=True).happen(paired(NUMBER), TOO_OLD)
    assert player.did(c.Dial)[-1] == c.Dial(f"{NUMBER}:1@s.whatsapp.net")
    assert player.did(c.HangUp) == []
    assert player.copy().happen(CONNECTED).states == LINKED_STATES
    assert failure(player.happen(TOO_OLD)) is FailureCode.CLIENT_OUTDATED


# --- what others ask --------------------------------------------------------------------------------------------------


@each("phase", [lambda: Player().begin(), shown])
def test_before_the_yes_it_can_be_taken_back(phase):
    player = phase().happen(Order.CANCEL)
    assert player.states[-1] == "cancelled"
    assert kinds(player)[-3:] == ["HangUp", "End", "GiveLeaseBack"]
    player = phase().happen(Order.UNLINK)
    assert player.states[-1] == "cancelled"
    assert kinds(player)[-1] == "UnlinkAgain"  # there may be an older device
    player = phase().happen(Order.HAND_OVER)
    assert kinds(player)[-3:] == ["HangUp", "GiveLeaseBack", "Restart"]
    assert player.ending is None
    assert player.course.phase is Phase.OVER


def test_a_hand_over_keeps_how_the_phone_was_asked():
    assert shown(phone=PHONE).happen(Order.HAND_OVER).did(c.Restart) == [c.Restart(Method.CODE)]


def test_a_cancelled_attempt_keeps_what_the_page_was_told():
    player = shown()
    for number in range(2, 5):
        player.later(20_000).happen(qr(number, born=player.now))
    assert player.happen(Order.CANCEL).did(c.End)[0].detail == "no-answer"
    assert shown().happen(Order.CANCEL).did(c.End)[0].detail == ""


@each("order", [Order.CANCEL, Order.HAND_OVER, Order.CODE])
def test_after_the_yes_it_only_succeeds_or_fails(order):
    player = shown().happen(paired(NUMBER), order)
    assert player.course.phase is Phase.AGREED
    assert player.happen(CONNECTED).states == LINKED_STATES


def test_an_unlink_after_the_yes_is_done_as_soon_as_there_is_a_device():
    player = shown().happen(paired(NUMBER), Order.UNLINK)
    assert player.did(c.Deed.UNLINK_AGAIN) == []
    player.happen(CONNECTED)
    assert player.states == LINKED_STATES
    assert kinds(player)[-2:] == ["HoldLinked", "UnlinkAgain"]
    assert kinds(linked())[-1] == "HoldLinked"


@each("phase", [lambda: Player().begin(), shown, lambda: shown().happen(paired(NUMBER))])
def test_an_attempt_without_its_lease_says_nothing_more(phase):
    player = phase()
    told = len(player.told)
    player.happen(Order.LOST)
    assert len(player.told) == told
    assert player.did(c.HangUp)
    assert player.ending is None
    assert player.course.phase is Phase.OVER
