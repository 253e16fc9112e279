"""An attempt that waits for its phone, by the machine alone: the QRs, the code, and a connection that is made anew."""

from shared.core.failures import FailureCode
from shared.core.protocol import Method
from shared.state.claims import Subject
from tests.each import each
from tests.played import CODE, CONNECTED, RETRY_AT, START, Player, paired, qr, word
from tests.unit.linking.playing import LIMITS, NUMBER, OTHER, PHONE, failure, kinds, shown
from workers.engine import protocol as pipe
from workers.linking import course as c
from workers.linking.course import Order, Phase


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


def test_the_code_is_asked_for_while_the_first_qr_is_under_way():
    player = Player(phone=PHONE).begin()
    assert kinds(player)[-2:] == ["ClaimCode", "AskCode"]
    assert player.did(c.ClaimCode)[0].dies == player.course.deadline > START
    assert player.course.asker.phone == PHONE
    player.happen(qr(1))
    assert len(player.did(c.AskCode)) == 1
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


def test_a_cold_attempt_for_a_code_dials_once():
    assert len(Player(phone=PHONE, warm=False).begin().did(c.Dial)) == 1


def test_an_order_while_it_connects_reads_whom_the_link_expects_by_now():
    player = Player().begin()
    player.expected = OTHER
    assert player.happen(Order.CODE).course.subject.expected == OTHER


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


def test_a_code_that_is_asked_for_once_there_is_a_qr_is_claimed_for_as_long_as_the_qrs():
    player = shown()
    player.phone = PHONE
    player.happen(Order.CODE)
    assert player.did(c.ClaimCode)[0].dies == player.course.rotation.dies > START


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
    assert player.did(c.Deed.FORGET_PHONE)


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
