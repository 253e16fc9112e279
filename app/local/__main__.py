"""Runs the whole service on this machine: Redis, web and worker by the Procfile, and a link for a first company.

Settings that are missing are made up for a trial: a Redis of its own (REDIS_URL), keys that are kept in .run/
(SECRET_KEY, API_KEYS), the next free port from 8000 (PORT). With made-up keys it listens on loopback only.
docs/environment.md describes all settings. Ctrl-C stops everything.
"""

import argparse
import asyncio
import fcntl
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO, cast

from app.local import redis as local_redis
from app.local.greeting import Greeting, greet
from app.local.guard import guarded
from app.local.processes import run_procfile
from app.local.redis import CannotStartError

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = ("127.0.0.1", "::1", "localhost")
FIRST_PORT, LAST_PORT = 8000, 8099

TOLD = (
    *("REDIS_URL", "SECRET_KEY", "API_KEYS", "HOST", "PORT"),
    *("DATABASE_URL", "DATA_DIR", "DEFAULT_REGION", "NAMESPACE", "PUBLIC_URL"),
)
"""Settings that the operators' command takes from a running service, if they are set."""


def _path(text: str) -> Path:
    return Path(text).resolve()


def options() -> argparse.Namespace:
    """Reads the command line; `--help` and mistakes end the process."""
    parser = argparse.ArgumentParser(
        prog="python -m app.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=_path, default=ROOT / ".run", help="keeps keys and linked devices (.run)")
    parser.add_argument("--procfile", type=_path, default=ROOT / "Procfile", help="what to run (Procfile)")
    parser.add_argument("--page", default="", metavar="URL", help="show this address instead of a first link")
    parser.add_argument("--log", type=Path, help="a file for what the processes say, instead of the terminal")
    return parser.parse_args()


def environment(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of web and worker, except REDIS_URL: the given one, completed. Raises CannotStartError."""
    env = {name: value for name, value in given.items() if value}
    host = env.setdefault("HOST", "127.0.0.1")
    made_up = [name for name in ("SECRET_KEY", "API_KEYS") if name not in env]
    if made_up and host not in LOOPBACK:
        raise CannotStartError(
            f"HOST={host} is not loopback, so {' and '.join(made_up)} must be set (docs/environment.md)."
        )
    if made_up:
        kept = kept_secrets(folder)
        env |= {name: kept[name] for name in made_up}
    if "PORT" in env:
        if not env["PORT"].isascii() or not env["PORT"].isdigit() or not 1 <= int(env["PORT"]) <= 65535:
            raise CannotStartError(f"PORT={env['PORT']} must be a number from 1 to 65535.")
        if not is_free(host, int(env["PORT"])):
            raise CannotStartError(f"Port {env['PORT']} is in use: stop what listens there, or set another PORT.")
    elif free := next((one for one in range(FIRST_PORT, LAST_PORT + 1) if is_free(host, one)), None):
        env["PORT"] = str(free)
    else:
        raise CannotStartError(f"No port from {FIRST_PORT} to {LAST_PORT} is free on {host}: set PORT.")
    if "PUBLIC_URL" not in env:  # the page's address may be typed either way
        env["ALLOWED_ORIGINS"] = f"{env.get('ALLOWED_ORIGINS', '')} http://localhost:{env['PORT']}".strip()
    env.setdefault("DATA_DIR", str(folder / "data"))
    env.setdefault("LOG_FORMAT", "console")
    env["PYTHONUNBUFFERED"] = "1"
    env["PATH"] = os.pathsep.join([str(Path(sys.prefix, "bin")), env.get("PATH", os.defpath)])
    return env


def kept_secrets(folder: Path) -> dict[str, str]:
    """Keys for this machine, made at the first start and readable by their owner only. Raises CannotStartError."""
    path = folder / "secrets.json"
    made = {"SECRET_KEY": secrets.token_urlsafe(48), "API_KEYS": secrets.token_urlsafe(32)}
    if not path.exists():
        with _private(path) as file:
            json.dump(made, file)
        return made
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(kept[name]) for name in made}
    except (ValueError, KeyError, TypeError) as error:
        raise CannotStartError(f"{path} is damaged ({error}): remove it, and new keys are made.") from error


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """Keeps a second run out of the folder, because two workers would log in with the same devices. Yields a
    descriptor that the children keep open, so that the folder is free only when they are gone as well.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(folder / "lock", "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStartError(f"Another run uses {folder}, or is still stopping: one at a time.") from None
        yield file.fileno()


def has_display(env: Mapping[str, str]) -> bool:
    """True if a browser may be opened: a person sits at this machine, and it is no CI."""
    if not sys.stdout.isatty() or any(name in env for name in ("CI", "SSH_CONNECTION", "SSH_TTY")):
        return False
    return sys.platform == "darwin" or "DISPLAY" in env or "WAYLAND_DISPLAY" in env


def run(asked: argparse.Namespace, given: Mapping[str, str]) -> int:
    """Run until a signal or the end of a process. Return the exit code. Raises CannotStartError."""
    with ExitStack() as stack:
        lock = stack.enter_context(only_one(asked.folder))
        env = environment(given, asked.folder)
        guard = stack.enter_context(guarded())
        redis = None
        if "REDIS_URL" not in env:
            redis = stack.enter_context(local_redis.running(asked.folder / "redis"))
            guard(redis.pid)
            env["REDIS_URL"] = redis.url
        with _private(asked.folder / "running.json") as file:
            json.dump({name: env[name] for name in TOLD if name in env}, file)
        stack.callback((asked.folder / "running.json").unlink, missing_ok=True)
        greeting = Greeting(
            base=f"http://{'[::1]' if ':' in env['HOST'] else '127.0.0.1'}:{env['PORT']}",
            key=env["API_KEYS"].replace(",", " ").split()[0],
            folder=asked.folder,
            page=asked.page,
            log=asked.log,
            display=has_display(env),
        )
        log = stack.enter_context(_private(asked.log)) if asked.log else sys.stdout
        running = run_procfile(
            asked.procfile,
            env,
            keep_open=lock,
            guard=guard,
            log=log,
            redis=redis.process if redis else None,
            beside=greet(greeting),
        )
        code = asyncio.run(running)
        if code and asked.log:
            sys.stderr.write(f"{asked.log} may say why.\n")
        return code


def _private(path: Path) -> TextIO:
    """A new file that its owner alone may read."""
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def main() -> int:
    asked = options()
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="replace")  # whatever the terminal can write
    # Until the processes run: leave the blocks, stop what was started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(asked, os.environ)
    except CannotStartError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
