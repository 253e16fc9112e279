"""A client in TypeScript that is generated from the description compiles, and works against the service."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import npm
from tests.integration.web import API_KEY

HERE = Path(__file__).parents[1] / "clients"
LOCK = HERE / "package-lock.json"


async def run(*command: str, cwd: Path, **env: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, f"{command[0]}: {out.decode()}{err.decode()}"
    return out.decode()


def is_right(told: dict[str, object], company: str) -> None:
    assert company in told.pop("listed")  # type: ignore[operator]
    assert told == {"link": "open", "attempt": "queued", "refused": "/problems/not-linked"}


async def description(web, folder: Path) -> None:
    async with web.http(None) as http:
        (folder / "openapi.json").write_bytes((await http.get("/api/v1/openapi.json")).content)


@pytest.mark.timeout(400)
async def test_the_types_of_openapi_typescript_compile_and_their_client_works(web, tmp_path):
    home = npm.installed(LOCK, "an integrator's JavaScript")
    (tmp_path / "node_modules").symlink_to(home / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "client.ts", tmp_path)
    await description(web, tmp_path)
    tools = home / "node_modules" / ".bin"
    await run(str(tools / "openapi-typescript"), "openapi.json", "-o", "schema.d.ts", cwd=tmp_path)
    options = (
        "--strict",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
        "--types",
        "node",
    )
    await run(str(tools / "tsc"), *options, "client.ts", cwd=tmp_path)
    is_right(json.loads(await run("node", "client.js", web.url, API_KEY, cwd=tmp_path)), "company_ts-1")
