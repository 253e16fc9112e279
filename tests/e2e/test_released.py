"""Accounts that WhatsApp refuses for a time: banned (402), locked (403), banned for good, and released all the same (406)."""

import asyncio

import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_backup import command
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

STATUSES = (402, 403, 406)


async def test_accounts_that_are_released_are_linked_again_without_a_scan(own: Stack) -> None:
    """The library deletes a device at 403 and 406. The keys stay, and lead to the same device."""
    links = [await own.linked() for _ in STATUSES]
    for link, _ in links:  # or the last one is refused at its first login, and not at one that follows a cut
        await own.worker.said("session.logged-in", session=link["session"])
    phones = [own.emulator.phone(number) for _, number in links]
    before = [await phone.devices() for phone in phones]
    rules = []
    for (_, number), status in zip(links, STATUSES, strict=True):
        of = number.lstrip("+")
        rules.append(await own.emulator.arm("login-refused", phone=of, status=status, times=None))
        await own.emulator.cut(phone=of)

    async def states() -> set[str]:
        return {(await own.company(link))["state"] for link, _ in links}

    async def all_are(state: str) -> bool:
        return await states() == {state}

    await until(lambda: all_are("failed"), 60)
    _, said = await command(own, "doctor")
    assert said.count("device is parked") == len(STATUSES)
    assert said.count("account-restricted") == 2

    await own.worker.stop()  # what is kept outlives its worker
    await own.start_worker()
    link, _ = links[1]
    await command(own, "unpark", link["company"])  # too early
    await own.worker.said("session.lost", session=link["session"])
    await until(lambda: all_are("failed"), 60)

    for rule in rules:
        await own.emulator.disarm(rule)
    await asyncio.gather(*(command(own, "unpark", link["company"]) for link, _ in links))
    await until(lambda: all_are("linked"), 60)
    assert [[one["id"] for one in await phone.devices()] for phone in phones] == [
        [one["id"] for one in b] for b in before
    ]
    for link, number in links:
        body = {"to": "+79161234567", "text": "Here again."}
        assert (await own.http.post(f"/api/v1/companies/{link['company']}/messages", json=body)).status_code == 202
        await until(lambda number=number: own.emulator.messages(number.lstrip("+")), 60)
    _, said = await command(own, "doctor")
    assert "device is parked" not in said
