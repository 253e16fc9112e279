"""Has schemathesis try out what the description says: made-up requests, good and bad, and what is answered to them."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

from tests.clients.tools import SCHEMATHESIS, tool

CONFIG = Path(__file__).with_name("schemathesis.toml")


async def fuzz(url: str, key: str, folder: Path, *, seed: int, examples: int, phases: str) -> int:
    """How many cases were tried. `examples`: for each operation and phase, at most. Fails if anything was found."""
    process = await asyncio.create_subprocess_exec(
        str(tool(SCHEMATHESIS) / "schemathesis"),
        f"--config-file={CONFIG}",
        "run",
        f"{url}/api/v1/openapi.json",
        f"--header=Authorization: Bearer {key}",
        f"--seed={seed}",
        f"--max-examples={examples}",
        f"--phases={phases}",
        "--workers=8",  # they wait for most of the time: ?wait=25
        "--continue-on-failure",
        "--no-shrink",
        "--request-timeout=60",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--no-color",
        cwd=folder,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said = (await process.communicate())[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = re.search(r"(\d+) generated", said)
    assert found, said[-20_000:]
    assert process.returncode == 0, said[-20_000:]
    return int(found[1])
