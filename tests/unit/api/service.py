"""The API over a pretended Redis, and what is asked of it."""

import httpx
from fakeredis import FakeAsyncRedis

from app import openapi
from app.main import create_app
from shared.core.ids import CompanyId, SessionId
from shared.core.lifecycle import State
from shared.core.signing import new_secret
from shared.jobs.queue import client
from shared.state.outbox import Message, Outbox
from shared.state.receivers import Receivers
from tests.unit.api.config import CONFIG, KEY
from tests.unit.world import ONE, World

COMPANY = "salon-1"


class Service:
    """The API over a pretended Redis, in this process."""

    def __init__(self, server):
        self.server = server
        self.redis = client(FakeAsyncRedis(server=server, version=(7,)).connection_pool)
        self.app = create_app(CONFIG, redis=self.redis)

    async def __call__(self, operation, *, key=KEY, name=COMPANY, item=None, **given):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers |= given.pop("headers", {})
        async with httpx.AsyncClient(transport=transport, base_url="http://web", headers=headers) as http:
            path = operation.path.replace("{id}", name)
            for name, usual in ITEMS.items():
                path = path.replace(f"{{{name}}}", item or usual)
            return await http.request(operation.method, path, **given)

    async def link(self):
        """The company has a linked device, held by a worker."""
        return await World(self.redis).serve(ONE, State.LINKED)


def named(name):
    return next(one for one in openapi.ALL if one.name == name)


ITEMS = {"message": "00ff00ff00ff00ff", "number": "+79001234567"}
"""The second id in a path."""

BODIES = {
    "create_link": {"companyId": COMPANY},
    "send": {"to": "+79001234567", "text": "hello"},
    "start_attempt": {"method": "code", "phoneNumber": "+79001234567"},
    "put_receiver": {"url": "https://hooks.example/in"},
    "test_receiver": {"companyId": COMPANY},
}


async def fill_outbox(service):
    for _ in range(200):
        await Outbox(service.redis).accept(SessionId(f"company_{COMPANY}"), Message("+79001234567", "x"))


async def receiver_of(service, company):
    await Receivers(CONFIG, service.redis).put(CompanyId(company), "https://hooks.example/", new_secret(), None)
