"""Settings of the web application with one key for everything, and one for each scope."""

from typing import Any

from pydantic import SecretStr

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
