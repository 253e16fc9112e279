"""What an owner may ask for, where it does not need a browser to see it."""

import pytest
from pydantic import SecretStr

from app.access import Link
from app.onboarding import Onboarding
from shared.core.clock import now_ms
from shared.core.failures import FailureCode, Refused
from shared.core.ids import CompanyId
from shared.state.cooldowns import Cooldowns

SECRET = SecretStr("x" * 40)


@pytest.fixture
def onboarding(redis, world):
    return Onboarding(redis, world.snapshots, world.claims, Cooldowns(redis, SECRET), region="RU")


def a_link(left_ms):
    return Link("L", CompanyId("salon-1"), now_ms() + left_ms, "Salon")


@pytest.mark.parametrize("ask", ["qr", "code"])
async def test_a_tab_that_outlives_its_link_may_look_and_not_ask(onboarding, world, ask):
    link = a_link(0)
    with pytest.raises(Refused) as refused:
        await (onboarding.request_qr(link) if ask == "qr" else onboarding.request_code(link, "89001234567", "host"))
    assert refused.value.code is FailureCode.LINK_SPENT
    assert await world.everything() == {}
    await onboarding.cancel(link)  # it may still take back what it began
    await onboarding.request_qr(a_link(60_000))
