"""What an owner may ask for, where it does not need a browser to see it."""

from typing import Any

import pytest
from pydantic import SecretStr

from app.access import Link
from app.onboarding import Endings, Onboarding
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import FailureCode, Refused
from shared.core.ids import CompanyId
from shared.state.cooldowns import Cooldowns

SECRET = SecretStr("x" * 40)


@pytest.fixture
def onboarding(redis, world):
    return Onboarding(redis, world.claims, Cooldowns(redis, SECRET), region="RU")


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


@pytest.mark.parametrize("runs", [False, True], ids=["nothing runs", "an attempt runs"])
@pytest.mark.parametrize("ask", ["qr", "code"])
async def test_a_link_that_is_revoked_while_its_click_is_on_its_way_begins_and_joins_nothing(
    onboarding, redis, world, monkeypatch, ask, runs
):
    link = replace(a_link(60_000), id="another")
    if runs:
        await world.ask()
    request = world.claims.request

    async def be_overtaken(*about):
        await Endings(redis, world.claims).revoke_link(link.id)
        nonlocal before
        before = await world.everything()
        return await request(*about)

    before: dict[bytes, Any] = {}
    monkeypatch.setattr(world.claims, "request", be_overtaken)
    with pytest.raises(Refused) as refused:
        await (onboarding.request_qr(link) if ask == "qr" else onboarding.request_code(link, "89001234567", "host"))
    assert refused.value.code is FailureCode.LINK_SPENT
    assert await world.everything() == before
