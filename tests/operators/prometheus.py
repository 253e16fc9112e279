"""A real Prometheus for a test: it takes deploy/prometheus/ as it is, and scrapes a web process on loopback."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from app.local.redis import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "prometheus"
EVERY = "200ms"


class Prometheus:
    """One that runs; asked by its HTTP API, as Grafana asks it."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, target: str, api_key: str) -> AsyncIterator[Self]:
        """With the deployed configuration and rules, but for the address, the key and a faster pace."""
        binary = shutil.which("prometheus")
        assert binary is not None
        port = free_port()
        with open(folder / "log", "wb") as log:
            process = await asyncio.create_subprocess_exec(
                binary,
                f"--config.file={_configuration(folder, target, api_key)}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                stdout=log,
                stderr=log,
            )
        prometheus = cls(f"http://127.0.0.1:{port}")
        try:
            await until(prometheus._ready)
            yield prometheus
        except BaseException:
            print((folder / "log").read_text())
            raise
        finally:
            await prometheus._http.aclose()
            process.terminate()
            await process.wait()

    async def _ready(self) -> bool:
        try:
            return (await self._http.get("/-/ready")).is_success
        except httpx.TransportError:
            return False

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer without an error and without a warning."""
        answer = await self._http.get(f"/api/v1/{path}", params=parameters)
        said = answer.json()
        assert said["status"] == "success", (parameters, said)
        assert not said.get("warnings"), (parameters, said)
        return said["data"]

    async def series(self, expression: str) -> list[dict[str, str]]:
        """The labels of what a graph of the last minute shows, once it shows something: a scrape that web was too slow
        for leaves a gap, in which there is nothing. Raises AssertionError if it never does."""

        async def shown() -> list[dict[str, str]]:
            now = time.time()
            found = await self.ask("query_range", query=expression, start=f"{now - 60}", end=f"{now}", step="1")
            return [one["metric"] for one in found["result"]]

        try:
            series: list[dict[str, str]] = await until(shown)
        except TimeoutError:
            raise AssertionError(f"nothing for {expression}") from None
        return series

    async def scraped(self, times: int) -> None:
        """Returns when web has been scraped so often."""

        async def often() -> bool:
            found = await self.ask("query", query="sum_over_time(up[1m])")
            return any(float(one["value"][1]) >= times for one in found["result"])

        await until(often)

    async def rules(self) -> list[dict[str, Any]]:
        """All rules, each evaluated at least once."""

        async def evaluated() -> list[dict[str, Any]]:
            found = [one for group in (await self.ask("rules"))["groups"] for one in group["rules"]]
            return [] if any(one["health"] == "unknown" for one in found) else found

        rules: list[dict[str, Any]] = await until(evaluated)
        return rules


def _configuration(folder: Path, target: str, api_key: str) -> Path:
    config = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (folder / "key").write_text(api_key)
    job["authorization"]["credentials_file"] = str(folder / "key")
    job["scheme"] = "http"
    job["static_configs"] = [{"targets": [target]}]
    job["scrape_interval"] = job["scrape_timeout"] = EVERY
    config["rule_files"] = [str(DEPLOYED / name) for name in config["rule_files"]]
    config["global"] = {"evaluation_interval": EVERY}
    made = folder / "prometheus.yml"
    made.write_text(json.dumps(config))
    return made
