"""Who has to wait before WhatsApp must say so, and whose pairing code is alive."""

import orjson
import pytest
from pydantic import SecretStr

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.state.cooldowns import FREE, MEMORY_MS, WAITS, Asker, Cooldowns, Whose

MINE, OTHERS = SessionId("company_salon-1"), SessionId("company_salon-2")
PHONE, SAME_PHONE, OTHER_PHONE = "+5511987654321", "+551187654321", "+79007654321"
SLACK_MS = 5_000


@pytest.fixture
def cooldowns(redis):
    return Cooldowns(redis, SecretStr("a-secret-for-tests-that-is-long-enough"))


def asker(cooldowns, phone=PHONE, session=MINE, host="192.0.2.1"):
    return Asker(phone, session, cooldowns.address(host))


def about(moment, wait):
    """Whether `moment` is `wait` ms from now, give or take the time that a test takes."""
    return abs(now_ms() + wait - moment) < SLACK_MS  # a process knows Redis' time to some 50 ms


async def test_nobody_waits_before_anything_was_refused(cooldowns):
    assert await cooldowns.wait(asker(cooldowns)) is None


async def test_a_phones_wait_grows_with_each_refusal_up_to_the_longest(cooldowns):
    waits = WAITS
    for number, wait in enumerate([*waits, waits[-1]]):
        # Another company and another address each time: only the phone is the same.
        until = await cooldowns.refused(
            asker(cooldowns, session=SessionId(f"company_{number}"), host=f"192.0.2.{number}")
        )
        assert about(until, wait)
    assert about((await cooldowns.wait(asker(cooldowns))).until, waits[-1])


async def test_the_other_number_of_the_same_account_waits_as_well(cooldowns):
    await cooldowns.refused(asker(cooldowns))
    stranger = asker(cooldowns, SAME_PHONE, OTHERS, "192.0.2.2")
    assert (await cooldowns.wait(stranger)).until > now_ms()
    assert await cooldowns.wait(asker(cooldowns, OTHER_PHONE, OTHERS, "192.0.2.2")) is None


@pytest.mark.parametrize("whose", [Whose.COMPANY, Whose.ADDRESS])
async def test_a_company_or_an_address_waits_only_after_several_phones_were_refused(cooldowns, whose):
    def next_one(number):
        other = SessionId(f"company_c{number}"), "192.0.2.1"
        mine = MINE, f"192.0.2.{number % 250}"
        session, host = mine if whose is Whose.COMPANY else other
        return asker(cooldowns, f"+7900123{number:04}", session, host)

    free = FREE[whose]
    for number in range(free):
        await cooldowns.refused(next_one(number))
        assert await cooldowns.wait(next_one(1000 + number)) is None
    await cooldowns.refused(next_one(free))
    assert about((await cooldowns.wait(next_one(2000))).until, WAITS[0])


async def test_a_company_that_asks_for_a_code_of_another_waits_and_the_phone_does_not(cooldowns):
    for _ in range(FREE[Whose.COMPANY] + 1):
        await cooldowns.refused(asker(cooldowns), of={Whose.COMPANY, Whose.ADDRESS})
    assert (await cooldowns.wait(asker(cooldowns, OTHER_PHONE))).until > now_ms()
    assert await cooldowns.wait(asker(cooldowns, PHONE, OTHERS, "192.0.2.2")) is None


async def test_a_ban_makes_the_phone_wait_as_long_as_whatsapp_says(cooldowns):
    until = now_ms() + 10 * keys.DAY
    await cooldowns.until(PHONE, until)
    assert (await cooldowns.wait(asker(cooldowns))).until == until
    await cooldowns.until(OTHER_PHONE, now_ms() - 1)
    assert await cooldowns.wait(asker(cooldowns, OTHER_PHONE)) is None


async def test_of_two_companies_one_has_the_phones_code_until_it_gives_it_back(cooldowns):
    mine, theirs = asker(cooldowns), asker(cooldowns, SAME_PHONE, OTHERS, "192.0.2.2")
    assert await cooldowns.take_code(mine, 160_000) is None
    assert await cooldowns.take_code(mine, 160_000) is None
    assert about(await cooldowns.take_code(theirs, 160_000), 160_000)
    waiting = await cooldowns.wait(theirs)
    assert waiting.taken
    assert about(waiting.until, 160_000)
    await cooldowns.give_code_back(theirs)
    assert await cooldowns.take_code(theirs, 160_000) is not None
    await cooldowns.give_code_back(mine)
    assert await cooldowns.wait(theirs) is None
    assert await cooldowns.take_code(theirs, 160_000) is None


async def test_a_sessions_own_living_code_causes_no_wait(cooldowns):
    mine = asker(cooldowns)
    await cooldowns.refused(mine)
    await cooldowns.take_code(mine, 160_000)
    assert await cooldowns.wait(mine) is None


async def test_redis_holds_no_phone_no_address_and_forgets_in_time(cooldowns, redis):
    one = asker(cooldowns, host="192.0.2.77")
    await cooldowns.refused(one)
    await cooldowns.take_code(one, 160_000)
    names = await redis.keys("wa:cooldown:*")
    assert len(names) == 4
    assert {name for name in await redis.keys("*") if not name.startswith(b"wa:said:")} == set(names)
    for name in names:
        value = await redis.get(name)
        for secret in (PHONE.lstrip("+"), SAME_PHONE.lstrip("+"), "192.0.2.77"):
            assert secret.encode() not in name + value
        assert 0 < await redis.pttl(name) <= WAITS[0] + MEMORY_MS
        assert value == MINE.encode() or set(orjson.loads(value)) == {"refusals", "until"}


async def test_without_the_secret_nobody_can_guess_whose_key_it_is(redis):
    one, other = (Cooldowns(redis, SecretStr(secret * 32)) for secret in "ab")
    assert one.digest("phone", PHONE) == one.digest("phone", PHONE)
    assert one.digest("phone", PHONE) != other.digest("phone", PHONE)
    assert one.digest("phone", PHONE) != one.digest("code", PHONE)
