"""Clients that are made from the description compile, link a company, send a text, and read its end."""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import npm
from tests.clients.tools import OPENAPI_PYTHON_CLIENT, tool
from tests.e2e.stack import API_KEY, Stack, new_number

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

HERE = Path(__file__).parents[1] / "clients"
STRICT = ("--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext", "--types", "node")


async def run(*command: str, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await process.communicate()
    assert process.returncode == 0, f"{command[0]}: {said.decode()}"


async def description(stack: Stack, folder: Path) -> None:
    answer = await stack.http.get("/api/v1/openapi.json")
    (folder / "openapi.json").write_bytes(answer.content)


async def typescript(stack: Stack, folder: Path) -> list[str]:
    """The command of a client of openapi-typescript."""
    home = npm.installed(HERE / "package-lock.json", "an integrator's JavaScript")
    tools = home / "node_modules" / ".bin"
    (folder / "node_modules").symlink_to(home / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "client.ts", folder)
    await description(stack, folder)
    await run(str(tools / "openapi-typescript"), "openapi.json", "-o", "schema.d.ts", cwd=folder)
    await run(str(tools / "tsc"), *STRICT, "client.ts", cwd=folder)
    return ["node", "client.js"]


async def python(stack: Stack, folder: Path) -> list[str]:
    """The command of a client of openapi-python-client."""
    programs = tool(OPENAPI_PYTHON_CLIENT)
    await description(stack, folder)
    made = ("--path", "openapi.json", "--output-path", "made", "--fail-on-warning", "--config", "config.yml")
    (folder / "config.yml").write_text("post_hooks: []\n")  # they would only put it into shape
    await run(str(programs / "openapi-python-client"), "generate", *made, cwd=folder)
    shutil.copy(HERE / "client.py", folder / "made")
    await run(str(programs / "python"), "-m", "compileall", "-q", "made", cwd=folder)
    return [str(programs / "python"), "made/client.py"]


@pytest.mark.parametrize("make", [typescript, python], ids=lambda one: one.__name__)
async def test_a_generated_client_links_a_company_sends_and_reads_the_end(stack: Stack, tmp_path: Path, make) -> None:
    number, friend, company = new_number(), new_number(), f"made-{secrets.token_hex(4)}"
    await stack.emulator.phone(friend.lstrip("+")).change(receipts="delivered")
    command = [*await make(stack, tmp_path), stack.url, API_KEY, company, friend]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, env=os.environ | {"NO_PROXY": "*"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            await stack.emulator.phone(number).scan(json.loads(line)["qr"])
            said, trouble = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, trouble.decode()
    assert json.loads(said) == {
        "link": "open",
        "attempt": "linked",
        "listed": True,
        "message": "delivered",
        "refused": "/problems/not-linked",
    }
