"""Checks a deployment before it goes live: `python -m app.release`, the `release` line of the Procfile.

Says one line for each part. Exit code 0 when it can go live, 1 when it must not (the host keeps the old version), 2 when
a setting is bad or missing.
"""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from shared import settings
from shared.core.datum import Datum
from shared.core.urls import redis_place
from shared.jobs.queue import client
from shared.settings import LOOPBACK, Settings
from shared.state import pool as redis_pool
from shared.state.refusals import reason
from shared.tasks import TROUBLE

ROOT = Path(__file__).resolve().parents[1]
OLDEST_REDIS = (6, 2)
CONNECTIONS = 24
"""Two webs and two workers with four connections each, and half of them again while a deploy runs both versions."""
STORE_SECONDS = 40


class Check(Datum):
    """Result for one part: `ok`, `warning` or `error`, and a sentence."""

    kind: str
    what: str


async def redis(config: Settings) -> list[Check]:
    """Check that Redis can be reached, is new enough, and does not throw keys away."""
    connected = client(redis_pool.pool(config))
    try:
        told = await connected.info()
    except TROUBLE as error:
        return [Check("error", f"REDIS_URL: {reason(error)}{_hint(config, error)}")]
    finally:
        await connected.aclose(close_connection_pool=True)
    version, policy = str(told["redis_version"]), told.get("maxmemory_policy", "noeviction")
    most = int(told.get("maxclients", CONNECTIONS))
    is_old = tuple(int(one) for one in version.split(".")[:2]) < OLDEST_REDIS
    is_cluster = told.get("cluster_enabled") or told.get("redis_mode") == "cluster"
    is_replica = told.get("role", "master") != "master"
    forgets = told.get("maxmemory") and policy != "noeviction"
    enough = f"{CONNECTIONS} carry two webs and two workers through a deploy"
    found = (
        (True, "ok", f"Redis {version} answers"),
        (is_old, "error", f"Redis {version} is too old: 6.2 is needed"),
        (is_cluster, "error", "Redis is a cluster, which is not supported: take a plan with one primary"),
        (is_replica, "error", "Redis is a replica and takes no writes: name the primary, or its sentinels"),
        (forgets, "error", f"Redis throws keys away when it is full ({policy}): set maxmemory-policy noeviction"),
        (most < CONNECTIONS, "warning", f"Redis takes {most} connections; {enough}"),
    )
    return [Check(kind, what) for is_so, kind, what in found if is_so]


def _hint(config: Settings, error: BaseException) -> str:
    place = redis_place(config.redis_url.get_secret_value())
    causes = [error, error.__cause__, error.__context__]
    refused = any(isinstance(one, ssl.SSLError) for one in causes) or "CERTIFICATE" in str(error)
    if not (place.tls and place.verified and config.redis_tls_verify and refused):
        return ""
    if any("mismatch" in str(one) for one in causes):
        return ": its certificate names another host, which ssl_check_hostname=false in REDIS_URL accepts"
    return ": its certificate is self-signed, which REDIS_TLS_VERIFY=false accepts"


def addresses(config: Settings) -> Iterator[Check]:
    """Check that links lead to this service by https, and that the page has a name."""
    public = urlsplit(config.base_url)
    if config.public_url is None:
        yield Check("error", "PUBLIC_URL is missing: links would lead to this machine only")
    elif public.scheme != "https" and public.hostname not in LOOPBACK:
        yield Check("error", "PUBLIC_URL begins with http://: tokens and QRs would travel in the clear")
    else:
        yield Check("ok", f"links begin with {config.base_url}")
    if not config.platform_name:
        yield Check("warning", f"PLATFORM_NAME is missing: the page calls itself {config.shown_name}")
    if (config.embed_origins or config.return_origins) and not config.webhook_secret:
        yield Check("warning", "WEBHOOK_SECRET is missing: what owners bring back to returnUrl is not signed")
    if config.sentry_dsn is None:
        yield Check("warning", "SENTRY_DSN is missing: nobody hears of errors")
    if config.development:
        yield Check("error", "DEVELOPMENT is on")


def store() -> list[Check]:
    """Run the worker's own check of the device store. Web and worker share no code, so it is a process."""
    asked = [sys.executable, "-m", "workers.store.release"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=STORE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [Check("error", "DATABASE_URL: Postgres does not answer")]
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    found = [Check(kind, what) for kind, _, what in lines if kind in {"ok", "warning", "error"}]
    if done.returncode and not any(one.kind == "error" for one in found):
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        found.append(Check("error", f"device store: {last.removeprefix('configuration: ')}"))
    return found


def main() -> int:
    """Check every part, even after one has failed. Returns the exit code."""
    config = settings.read()
    found = [*asyncio.run(redis(config)), *addresses(config), *store()]
    for one in found:
        sys.stdout.write(f"{one.kind:8}{one.what}\n")
    bad = sum(one.kind == "error" for one in found)
    sys.stdout.write(f"{bad} thing(s) to put right before this can go live.\n" if bad else "This can go live.\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
