"""What the tests of events and of their delivery share."""

import base64

from shared.core import keys
from shared.core.events import Event, EventType
from shared.core.ids import CompanyId, SessionId
from shared.settings import Settings
from tests.unit.world import SESSION

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


CONFIG = Settings.model_validate(
    {"secret_key": "s" * 32, "api_keys": "k" * 16, "webhook_url": "http://127.0.0.1:9/", "webhook_secret": SECRET}
)
COMPANY, OTHER = CompanyId("salon-1"), SessionId("company_other")


async def kept(redis):
    """The events on the shelf, the oldest first."""
    bodies = [await redis.hget(keys.webhook(one.decode()), "body") for one in await redis.zrange(keys.WEBHOOKS, 0, -1)]
    return sorted(
        (Event.model_validate_json(one) for one in bodies), key=lambda one: (one.version.attempt, one.version.seq)
    )


async def put(shelf, news, name="e1"):
    await shelf.put(SESSION, news.event(SESSION, EventType.SESSION_LINKED, {}, event_id=name))
