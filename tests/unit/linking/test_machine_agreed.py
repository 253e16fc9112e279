"""An attempt whose phone has agreed, by the machine alone."""

from shared.core.failures import FailureCode
from shared.state.claims import REVOKED
from tests.each import each
from tests.played import CODE, CONNECTED, RETRY_AT, START, Player, ended, paired, qr
from tests.unit.linking.playing import DEAD, LIMITS, LINKED_STATES, NUMBER, OTHER, PHONE, failure, kinds, linked, shown
from workers.engine import protocol as pipe
from workers.engine.orders import Exited
from workers.linking import course as c
from workers.linking.course import Phase


def test_the_good_course():
    player = linked()
    assert player.states == LINKED_STATES
    [adopt] = player.did(c.Adopt)
    assert (adopt.jid, adopt.parked, adopt.linked_at) == (f"{NUMBER}:1@s.whatsapp.net", "", START)
    assert player.held.body.device.linked_at == START
    assert player.held.body == player.ending
    assert player.held.verified
    assert player.did(c.Deed.GIVE_LEASE_BACK) == []  # it is the held session's now
    order = kinds(player)
    assert order.index("Adopt") < order.index("SpendLink") < order.index("End") < order.index("HoldLinked")
    assert player.did(c.End)[0].region == "RU"
    assert player.course.phase is Phase.OVER


def test_the_phones_yes_has_a_deadline_of_its_own():
    player = shown().later(100_000).happen(paired(NUMBER))
    assert player.course.deadline == player.course.body.deadline == player.now + LIMITS.finish
    assert player.course.body.qr is None
    player.happen(c.Turning.TIME_IS_UP)
    assert failure(player) is FailureCode.CONNECTION_FAILED
    assert player.did(c.End)[0].raw == "deadline in linking"


def test_a_line_of_the_linker_said_twice_is_done_once():
    player = Player(phone=NUMBER).begin()
    for line in (qr(1), CODE):
        told = len(player.happen(line).told)
        assert len(player.happen(line).told) == told
        assert player.course.phase is Phase.SHOWING
    player = shown().happen(paired(NUMBER), paired(NUMBER))
    assert player.told.count("phone.agreed") == 1
    assert player.ending is None
    player.happen(CONNECTED, CONNECTED, CONNECTED)
    assert len(player.did(c.Adopt)) == 1
    assert player.states == LINKED_STATES


@each("events", [[paired(NUMBER)], [CONNECTED]])
def test_a_linker_that_is_out_of_order_is_our_fault(events):
    player = Player().begin().happen(*events)
    assert failure(player) is FailureCode.INTERNAL
    assert player.did(c.Adopt) == []


def test_another_device_in_the_same_connection_is_our_fault():
    player = shown().happen(paired(NUMBER), paired(OTHER[1:]))
    assert failure(player) is FailureCode.INTERNAL
    assert player.did(c.End)[0].raw == "paired in linking"


def test_connected_without_a_pairing_says_so():
    assert shown().happen(CONNECTED).did(c.End)[0].raw == "connected in awaiting_phone"


@each(
    ("options", "parked", "raw"),
    [
        ({"expected": OTHER}, "wrong-number", "wrong-number"),
        ({"revoked": True}, REVOKED, REVOKED),
        ({"spent": False}, "", REVOKED),
    ],
)
def test_a_phone_that_must_not_stay_is_logged_out_before_it_is_told(options, parked, raw):
    player = linked(**options)
    assert player.did(c.Adopt)[0].parked == parked
    assert len(player.did(c.LogOutDevice)) == 1
    assert failure(player) is (FailureCode.LINK_SPENT if raw == REVOKED else FailureCode.WRONG_NUMBER)
    assert player.did(c.End)[0].raw == raw
    assert player.course.phase is Phase.OVER
    assert player.held is None
    order = kinds(player)
    assert order.index("HangUp") < order.index("LogOutDevice") < order.index("End") < order.index("GiveLeaseBack")


def test_a_stranger_to_a_link_that_joined_unheard_is_let_go_as_well():
    player = shown()
    player.expected = OTHER  # the word of it is still on its way when the phone agrees
    player.happen(paired(NUMBER), CONNECTED)
    assert player.did(c.Adopt)[0].parked == "wrong-number"
    assert failure(player) is FailureCode.WRONG_NUMBER


def test_the_expected_phone_stays():
    assert linked(expected=PHONE).states == LINKED_STATES


# --- deaths and endings -----------------------------------------------------------------------------------------------


def test_a_linker_that_dies_before_the_yes_is_replaced_and_after_it_another_takes_its_file():
    player = shown().happen(DEAD)
    assert player.course.phase is Phase.CONNECTING
    assert player.course.restarts == 1
    assert player.alerts == ["engine"]
    assert kinds(player)[-5:] == ["HangUp", "Advance", "Dial", "Learn", "Show"]
    player = shown().happen(paired(NUMBER), DEAD)
    assert player.did(c.Dial)[-1] == c.Dial(f"{NUMBER}:1@s.whatsapp.net")
    assert player.did(c.HangUp) == []
    player.happen(CONNECTED)
    assert player.states == LINKED_STATES


def test_a_dead_linker_is_replaced_once_after_the_phone_has_agreed():
    player = shown().happen(paired(NUMBER), DEAD, DEAD)
    assert failure(player) is FailureCode.INTERNAL
    assert player.alerts == ["engine", "engine"]  # each death once, and the ending not on top
    assert player.did(c.End)[0].raw == "panic: somewhere"


@each(
    ("events", "is_logged_out"),
    [
        ([c.Turning.TIME_IS_UP], True),
        ([c.Broke("KeyError")], True),
        ([c.Order.LOST], True),
        ([DEAD, DEAD], True),
        ([ended("no login within 30 s")], True),
        ([paired(OTHER[1:])], True),
        ([ended("banned", pipe.LostReason.BANNED, RETRY_AT)], False),  # WhatsApp lets it do nothing
        ([CONNECTED], False),  # it is kept
    ],
)
def test_a_device_that_the_phone_lists_and_nobody_keeps_is_logged_out(events, is_logged_out):
    player = shown().happen(paired(NUMBER), *events)
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp) == [c.HangUp(f"{NUMBER}:1@s.whatsapp.net" if is_logged_out else "")]
    assert shown().happen(c.Order.LOST).did(c.HangUp) == [c.HangUp()]


@each(("breaks", "is_logged_out"), [(c.Adopt, True), (c.Deed.SPEND_LINK, False)])
def test_a_device_whose_keys_are_safe_is_not_logged_out_when_its_attempt_breaks(breaks, is_logged_out):
    player = shown(answers={breaks: c.Broke("ConnectionError")}).happen(paired(NUMBER), CONNECTED)
    assert failure(player) is FailureCode.INTERNAL
    assert bool(player.did(c.HangUp)[-1].jid) is is_logged_out


def test_a_linker_that_dies_again_and_again_ends_the_attempt():
    for hears in ([], [qr(1)]):
        player = shown()
        for _ in range(LIMITS.restarts):
            player.happen(Exited(None, 9, None), *hears)
        player.happen(Exited(None, 9, None))
        assert failure(player) is FailureCode.INTERNAL
        assert player.did(c.End)[0].raw == "linker died"
        assert kinds(player)[-4:] == ["ReportDeath", "HangUp", "End", "GiveLeaseBack"]


def test_a_ban_keeps_the_phone_waiting_for_as_long_as_it_lasts():
    player = shown().happen(paired(NUMBER), ended("banned", pipe.LostReason.BANNED, RETRY_AT))
    assert player.did(c.CoolPhone) == [c.CoolPhone(PHONE, RETRY_AT)]
    assert player.ending.failure.retry_at == RETRY_AT
    assert shown().happen(ended("banned", pipe.LostReason.BANNED, RETRY_AT)).did(c.CoolPhone) == []
    assert shown().happen(paired(NUMBER), ended("banned", pipe.LostReason.BANNED)).did(c.CoolPhone) == []
    assert shown().happen(paired(NUMBER), ended("x", pipe.LostReason.REFUSED, RETRY_AT)).did(c.CoolPhone) == []


def test_something_broken_ends_it_without_a_second_alert():
    for player in (Player().begin(), shown(), shown().happen(paired(NUMBER))):
        player.happen(c.Broke("KeyError"))
        assert failure(player) is FailureCode.INTERNAL
        assert player.did(c.End)[0].raw == "KeyError"
        assert player.alerts == []
        assert player.did(c.HangUp)
        assert player.did(c.Deed.GIVE_LEASE_BACK)


def test_when_the_time_is_up_it_says_what_it_waited_for():
    assert shown().happen(c.Turning.TIME_IS_UP).states[-1] == "expired"
    player = Player().begin().happen(c.Turning.TIME_IS_UP)
    assert failure(player) is FailureCode.CONNECTION_FAILED
    assert player.did(c.End)[0].raw == "deadline in connecting"
    assert player.alerts == ["connection-failed"]
