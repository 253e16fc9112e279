"""The whole web application in this process, over a pretended Redis."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.main import create_app
from shared.core.apikeys import Scope, make_api_key
from shared.settings import Settings

KEY = "an-api-key-of-the-tests"
NARROW: dict[Scope, str] = {}
ENTRIES: list[SecretStr] = []
for scope in Scope:
    NARROW[scope], entry = make_api_key(f"only-{scope.value}", frozenset({scope}))
    ENTRIES.append(SecretStr(entry))


def settings_with(**more: Any) -> Settings:
    """Settings with one key for everything, and one for each scope."""
    return Settings.model_validate(
        {"secret_key": SecretStr("s" * 32), "api_keys": (SecretStr(KEY), *ENTRIES), "redis_url": "redis://127.0.0.1:9"}
        | more
    )


CONFIG = settings_with(
    public_url="https://onboarding.example",
    return_origins=("https://salon.example",),
    embed_origins=("https://platform.example",),
)


@pytest.fixture
async def web(redis):
    """The integrator's client, with the key for everything."""
    transport = httpx.ASGITransport(create_app(CONFIG, redis=redis), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://web", headers=headers) as http:
        yield http
