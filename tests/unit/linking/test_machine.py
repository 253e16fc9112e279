"""Every order of events of an attempt, by the machine alone."""

import itertools
from dataclasses import replace

from shared.core.failures import FailureCode
from shared.core.lifecycle import RUNNING, STEPS, State
from shared.core.protocol import Method
from shared.state.claims import REVOKED, Subject
from tests.each import each
from tests.played import CODE, CONNECTED, RETRY_AT, START, Player, ended, paired, play, qr, word
from tests.scenarios import SCENARIOS
from workers.engine import protocol as pipe
from workers.engine.parent import Exited
from workers.linking import course as c
from workers.linking import machine
from workers.linking.course import Order, Phase
from workers.linking.limits import AttemptLimits

PHONE, OTHER = "+79001112233", "+79007654321"
NUMBER = PHONE[1:]
LIMITS = AttemptLimits()
DEAD = Exited(None, 6, "panic: somewhere")
LINKED_STATES = ["queued", "connecting", "awaiting_phone", "linking", "linked"]


def failure(player):
    body = player.ending or player.course.body
    return body.failure.code if body.failure else None


def shown(**options):
    """An attempt whose first QR is shown."""
    return Player(**options).begin().happen(qr(1))


# --- the scenario table -----------------------------------------------------------------------------------------------


@each("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_row_of_the_scenario_table(scenario):
    player = play(scenario)
    wanted = scenario.states.split()
    linking = [state for state in wanted if state != "refused"]
    if "linked" in linking:
        linking = linking[: linking.index("linked") + 1]  # what happens later is the held session's
    assert player.states == linking
    if wanted[-1] == "refused" or len(linking) < len(wanted):
        return
    assert failure(player) == scenario.failure
    pattern = scenario.counts.replace("{}", "")
    assert [one for one in player.counted if one.startswith(pattern) or pattern in one], player.counted
    assert bool(player.alerts) == (scenario.level is not None)
    body = player.ending or player.course.body
    if scenario.retry_at:
        assert body.failure.retry_at is not None


# --- beginning --------------------------------------------------------------------------------------------------------


def kinds(player):
    return [type(one).__name__ for one in player.done]


def test_with_a_warm_linker_it_dials_before_it_reads_and_tells():
    assert kinds(Player(warm=True).begin()) == ["Dial", "Learn", "Show"]
    assert kinds(Player(warm=False).begin()) == ["Learn", "Show", "Dial"]


@each("code", [FailureCode.PAUSED, FailureCode.NO_ROOM])
def test_a_refused_attempt_dials_no_linker(code):
    player = Player(refused=code).begin()
    assert failure(player) is code
    assert player.did(c.Dial) == []
    assert player.did(c.End)[0].raw == code.value
    assert player.course.phase is Phase.OVER
    assert kinds(player)[-3:] == ["HangUp", "End", "GiveLeaseBack"]
    assert Player(refused=code, phone=PHONE).begin().ending.method is Method.CODE


def test_the_deadline_counts_from_the_beginning_of_the_connection():
    assert Player().begin().course.deadline == START + LIMITS.attempt
    assert Player().begin().course.body.deadline == START + LIMITS.attempt


# --- QRs and codes ----------------------------------------------------------------------------------------------------


def test_the_code_is_asked_for_before_the_first_qr_is_told():
    player = shown(phone=PHONE)
    assert kinds(player)[-3:] == ["ClaimCode", "AskCode", "Show"]
    assert player.did(c.ClaimCode)[0].dies == player.course.rotation.dies > START
    assert player.course.asker.phone == PHONE
    player.happen(CODE)
    assert player.course.body.code.text == "ABCD-EFGH"
    assert player.course.body.code.expires_at <= player.course.rotation.dies
    assert player.told[-1] == "code.shown"


def test_an_attempt_for_a_qr_asks_no_code():
    player = shown()
    assert player.did(c.ClaimCode) == []
    assert player.course.body.qr.number == 1
    player.happen(CODE, pipe.CodeRefused(status=429, reason=""))
    assert player.course.body.code is None
    assert player.course.body.failure is None


def test_a_code_that_is_asked_for_later_turns_the_page_to_it():
    player = shown()
    player.phone = PHONE
    player.happen(Order.CODE)
    assert player.told[-1] == "code.asked"
    assert player.did(c.AskCode) == [c.AskCode(PHONE)]
    assert player.course.method is Method.CODE
    player.happen(Order.CODE, Order.CODE)
    assert len(player.did(c.AskCode)) == 1
    assert player.told.count("code.asked") == 1


def test_while_connecting_the_first_qr_brings_the_code_about():
    player = Player().begin()
    player.phone = PHONE
    player.happen(Order.CODE)
    assert player.did(c.ClaimCode) == []
    player.happen(qr(1))
    assert player.did(c.AskCode) == [c.AskCode(PHONE)]


def test_with_too_little_time_for_a_code_the_attempt_begins_anew():
    player = shown()
    player.phone = PHONE
    player.later(LIMITS.qr - LIMITS.code_least + 1).happen(Order.CODE)
    assert player.course.phase is Phase.CONNECTING
    assert [one.why for one in player.did(c.Advance)] == ["too little time for a code"]
    assert player.did(c.HangUp)
    assert player.course.restarts == 0
    player.happen(qr(1, born=player.now))
    assert player.did(c.AskCode) == [c.AskCode(PHONE)]


def test_with_just_enough_time_a_code_is_asked_for():
    player = shown()
    player.phone = PHONE
    player.later(LIMITS.qr - LIMITS.code_least).happen(Order.CODE)
    assert player.did(c.AskCode)


def test_a_code_of_another_company_is_not_killed():
    player = shown(phone=PHONE, code_denied=c.CodeDenied(FailureCode.IN_PROGRESS, RETRY_AT))
    assert player.did(c.AskCode) == []
    assert (failure(player), player.course.body.failure.retry_at) == (FailureCode.IN_PROGRESS, RETRY_AT)
    assert player.course.body.qr is not None
    assert player.alerts == []
    assert player.course.subject.phone is None
    assert player.did(c.ForgetPhone)


def test_for_a_phone_that_another_company_holds_no_code_is_asked_for():
    denied = c.CodeDenied(FailureCode.LINKED_ELSEWHERE, other="company_other")
    player = shown(phone=PHONE, code_denied=denied)
    assert player.did(c.AskCode) == []
    assert (failure(player), player.alerts) == (FailureCode.LINKED_ELSEWHERE, [])
    assert "other" not in player.course.body.model_dump_json()
    assert [one.detail for one in player.did(c.Show) if one.event == "code.refused"] == [
        "linked-elsewhere company_other"
    ]
    assert player.course.body.qr is not None


def test_after_a_refused_code_another_may_be_asked_for():
    player = shown(phone=PHONE)
    player.happen(pipe.CodeRefused(status=429, reason="slow down"))
    [booked] = player.did(c.BookRefusal)
    assert (booked.asker.phone, booked.why.throttle, booked.raw) == (PHONE, True, "429 slow down")
    assert player.course.body.failure.retry_at == RETRY_AT
    player.phone = OTHER
    player.happen(Order.CODE, CODE)
    assert player.did(c.AskCode)[-1] == c.AskCode(OTHER)
    assert player.course.body.failure is None


def test_a_hint_comes_once_when_three_qrs_have_passed():
    player = shown()
    for number in range(2, 7):
        player.later(20_000).happen(qr(number, born=player.now))
        assert (player.course.body.hint is not None) == (number > LIMITS.unanswered)
    assert player.counted.count("unanswered_attempts") == 1


def test_a_code_that_is_asked_for_while_it_connects_comes_with_the_first_qr():
    player = Player().begin()
    player.phone = PHONE
    player.happen(Order.CODE, qr(1))
    assert player.told == ["attempt.connecting", "code.asked", "qr.shown"]
    assert player.course.body.method is Method.CODE
    assert player.did(c.AskCode) == [c.AskCode(PHONE)]


def test_a_code_that_comes_too_late_has_a_connection_of_its_own():
    player = shown().later(LIMITS.qr - LIMITS.code_least + 1)
    late = c.Learned(Subject("L", 0, phone=PHONE), None)
    player.happen(late)
    assert player.told[-2:] == ["code.asked", "attempt.connecting"]
    assert kinds(player)[-5:] == ["HangUp", "Advance", "Dial", "Learn", "Show"]
    forgetful = shown().later(LIMITS.qr - LIMITS.code_least + 1)
    forgetful.answers = {c.Learn: c.Learned(Subject("", 0), Method.CODE)}  # Redis was emptied meanwhile
    assert forgetful.happen(late).course.subject.phone == PHONE


def test_news_of_the_subject_leaves_the_phase_as_it_is():
    player = shown().happen(c.Learned(Subject("L", 0)))
    assert player.course.phase is Phase.SHOWING


def test_an_emptied_redis_does_not_make_it_forget_whom_it_is_about():
    player = shown(expected=PHONE)
    player.happen(c.Learned(Subject("", 0)))
    assert player.course.subject.expected == PHONE
    stranger = shown(expected=OTHER)
    stranger.expected = None
    assert failure(stranger.happen(paired(NUMBER), CONNECTED)) is FailureCode.WRONG_NUMBER
    player.happen(c.Learned(Subject("L", 0, expected=OTHER)))
    assert player.course.subject.expected == OTHER


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_word_that_means_nothing_changes_nothing():
    player = shown()
    before = player.course
    player.happen(word("success"), pipe.Ready())
    assert player.course == before


def test_the_rotation_ends_in_its_time_and_not_before():
    player = shown().later(LIMITS.qr - LIMITS.used_up_early + 1).happen(word("timeout"))
    assert player.states[-1] == "expired"
    player = shown().later(LIMITS.qr - LIMITS.used_up_early).happen(word("timeout"))
    assert failure(player) is FailureCode.CONNECTION_FAILED


def test_an_attempt_begins_anew_as_often_as_its_limit_says():
    player = shown()
    for _ in range(LIMITS.restarts):
        player.happen(word("error"))
        assert player.course.phase is Phase.CONNECTING
        assert kinds(player)[-5:] == ["HangUp", "Advance", "Dial", "Learn", "Show"]
        player.happen(qr(1))
    player.happen(word("error"))
    assert failure(player) is FailureCode.PAIRING_REFUSED
    assert player.did(c.End)[0].raw == "error"
    assert player.course.restarts == LIMITS.restarts


def test_after_the_phones_yes_it_does_not_begin_anew():
    player = shown().happen(paired(NUMBER), word("error"))
    assert failure(player) is FailureCode.PAIRING_REFUSED


def test_a_word_that_nobody_knows_is_told_as_it_is():
    player = shown().happen(word("a new word"))
    assert failure(player) is FailureCode.INTERNAL
    assert player.did(c.End)[0].raw == "a new word"


def test_the_timeline_has_whatsapps_words_of_a_refusal():
    player = shown().happen(pipe.Word(word="err-unexpected-state", said="400: Not now / Call +7 900 123-45-67"))
    assert failure(player) is FailureCode.PAIRING_REFUSED
    (end,) = player.did(c.End)
    assert end.detail.startswith("pairing-refused: 400: Not now / Call ")
    assert "123-45-67" not in end.detail


# --- the phone agrees -------------------------------------------------------------------------------------------------


def linked(**options):
    return shown(**options).happen(paired(NUMBER), CONNECTED)


def test_the_good_course():
    player = linked()
    assert player.states == LINKED_STATES
    [adopt] = player.did(c.Adopt)
    assert (adopt.jid, adopt.parked, adopt.linked_at) == (f"{NUMBER}:1@s.whatsapp.net", "", START)
    assert player.held.body.device.linked_at == START
    assert player.held.body == player.ending
    assert player.held.verified
    assert player.did(c.GiveLeaseBack) == []  # it is the held session's now
    order = kinds(player)
    assert order.index("Adopt") < order.index("SpendLink") < order.index("End") < order.index("HoldLinked")
    assert player.did(c.End)[0].region == "RU"
    assert player.course.phase is Phase.OVER


def test_the_phones_yes_has_a_deadline_of_its_own():
    player = shown().later(100_000).happen(paired(NUMBER))
    assert player.course.deadline == player.course.body.deadline == player.now + LIMITS.finish
    assert player.course.body.qr is None
    player.happen(c.TimeIsUp())
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
        assert player.did(c.GiveLeaseBack)


def test_when_the_time_is_up_it_says_what_it_waited_for():
    assert shown().happen(c.TimeIsUp()).states[-1] == "expired"
    player = Player().begin().happen(c.TimeIsUp())
    assert failure(player) is FailureCode.CONNECTION_FAILED
    assert player.did(c.End)[0].raw == "deadline in connecting"
    assert player.alerts == ["connection-failed"]


# --- our version is refused -------------------------------------------------------------------------------------------

OUTDATED = word("err-client-outdated")
TOO_OLD = ended("client outdated (405)", pipe.LostReason.OUTDATED)


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
    assert player.did(c.UnlinkAgain) == []
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


# --- every row --------------------------------------------------------------------------------------------------------

EVENTS = [
    *Order,
    c.Began(True),
    c.Began(False, FailureCode.PAUSED),
    c.Learned(Subject("L", 0, phone=PHONE), Method.CODE),
    c.Learned(Subject("", 0)),
    c.CodeDenied(FailureCode.INTERNAL, raw="418"),
    c.Judged(False),
    c.Judged(True),
    c.LinkSpent(True),
    c.LinkSpent(False),
    c.LoggedOut(),
    c.NewerSought(True, RETRY_AT, ""),
    c.NewerSought(False, RETRY_AT, ""),
    c.TimeIsUp(),
    c.Broke("KeyError"),
    pipe.Ready(),
    qr(1),
    qr(2),
    CODE,
    pipe.CodeRefused(status=400, reason=""),
    word("error"),
    word("timeout"),
    word("success"),
    OUTDATED,
    TOO_OLD,
    paired(NUMBER),
    paired(OTHER[1:]),
    CONNECTED,
    ended("EOF"),
    ended("banned", pipe.LostReason.BANNED, RETRY_AT),
    DEAD,
]


def test_when_it_is_over_nothing_happens_any_more():
    player = linked()
    before = len(player.done)
    player.happen(*EVENTS)
    assert len(player.done) == before


def test_every_event_in_every_phase_obeys_the_lifecycle():
    phases = [Player(), Player().begin(), shown(), shown(phone=PHONE), shown().happen(paired(NUMBER))]
    for begun, *events in itertools.product(phases, EVENTS, EVENTS):
        player = begun.copy().happen(*events)
        states = [State(one) for one in player.states]
        for old, new in itertools.pairwise(states):
            assert new in STEPS[old], (events, states)
        over = player.course.phase is Phase.OVER
        gone = player.did(c.Restart) or Order.LOST in events
        assert over == (player.ending is not None or bool(gone))
        if not over:
            assert player.course.body.state in RUNNING


def test_every_row_of_the_table_is_reached():
    seen = set()
    for row in machine.TABLE:
        for phase in row.at:
            assert isinstance(phase, Phase)
        seen.add((row.on, row.at, row.when))
    assert len(seen) == len(machine.TABLE)


def keeping(**options):
    """An attempt whose device is being made durable."""
    player = shown(**options).happen(paired(NUMBER))
    player.course = replace(player.course, phase=Phase.KEEPING)
    return player


@each("event", [c.Broke("KeyError"), c.TimeIsUp(), Order.LOST])
@each("begin", [Player, lambda: Player().begin(), shown, lambda: shown().happen(paired(NUMBER)), keeping])
def test_a_fault_the_deadline_and_a_lost_lease_end_every_phase(begin, event):
    player = begin().happen(event)
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp)


@each("order", [Order.CANCEL, Order.UNLINK, Order.HAND_OVER])
def test_an_attempt_can_be_taken_back_before_it_knows_whom_it_is_about(order):
    player = Player().happen(order)
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp)


def test_an_unlink_while_the_device_is_made_durable_is_remembered():
    player = keeping().happen(Order.UNLINK)
    assert player.course.unlink
    assert player.course.phase is Phase.KEEPING


ENDINGS = [
    word("a new word"),
    word("timeout"),
    ended("EOF"),
    CONNECTED,
    paired(OTHER[1:]),
    c.TimeIsUp(),
    c.Broke("KeyError"),
    Order.CANCEL,
    Order.UNLINK,
]


@each("begin", [lambda: Player().begin(), shown])
@each("event", ENDINGS)
def test_nothing_is_left_of_the_connection_when_an_attempt_ends(begin, event):
    player = begin().happen(event)
    if event == paired(OTHER[1:]) and begin is shown:
        assert player.course.phase is Phase.AGREED
    else:
        order = kinds(player)
        assert order.index("HangUp") < order.index("End")


def test_nothing_is_left_of_a_connection_that_is_made_anew():
    for event in (word("error"), DEAD):
        order = kinds(shown().happen(event))
        assert order.index("HangUp") < order.index("Advance")
        order = kinds(Player().begin().happen(event))
        assert order.index("HangUp") < order.index("Advance")


def test_when_the_rotation_is_over_the_attempt_is():
    player = shown().later(LIMITS.qr).happen(word("timeout"))
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp)


def test_a_phone_that_was_logged_out_again_ends_the_attempt():
    assert linked(expected=OTHER).course.phase is Phase.OVER
