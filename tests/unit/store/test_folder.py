"""A DATA_DIR in which no file can be kept ends the process with a sentence."""

import asyncio

import pytest
from pydantic import SecretStr

from shared.core.ids import WorkerId
from shared.settings import Settings
from workers.store.device import StoreRefused
from workers.store.open import opened


@pytest.mark.parametrize("kind", ["a file", "nowhere", "odd registry"])
async def test_a_data_dir_that_cannot_be_used_is_refused_by_name(tmp_path, kind):
    folder = {"a file": tmp_path / "file", "nowhere": tmp_path / "file" / "below", "odd registry": tmp_path}[kind]
    (tmp_path / ("registry.sqlite3" if kind == "odd registry" else "file")).write_text("no database at all")
    config = Settings(data_dir=folder, secret_key=SecretStr("s" * 40), api_keys=(SecretStr("k" * 40),))
    with pytest.raises(StoreRefused, match=f"DATA_DIR {folder} cannot be used"):
        async with opened(config, WorkerId("w"), asyncio.Event()):
            pass
