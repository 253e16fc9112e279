"""`python -m emulator`: runs the emulator until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from emulator.life import LIFE_RATE, any_seed
from emulator.listen import NotLoopback, Options, require_loopback, serving
from emulator.wire.words import WordsNotFound


def _parse(arguments: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="A WhatsApp server and phones to test with, on loopback. Prints one JSON line when it is ready.",
    )
    parser.add_argument(
        "--state-dir", type=Path, help="keeps accounts and linked devices (default: forgotten at the end)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; nothing else is accepted")
    parser.add_argument("--proxy-port", type=int, default=0, help="for clients (default: any free port)")
    parser.add_argument(
        "--control-port",
        type=int,
        nargs="+",
        default=[0],
        metavar="PORT",
        help="for tests and the phone page: the first of these that is free (default: 0, which is any free port)",
    )
    parser.add_argument(
        "--chaos", type=float, default=0.0, metavar="RATE", help="share of occasions that go wrong, 0 to 1"
    )
    parser.add_argument(
        "--life",
        type=float,
        default=LIFE_RATE,
        metavar="RATE",
        help=f"share of occasions at which something ordinary happens (default: {LIFE_RATE})",
    )
    parser.add_argument(
        "--seed", type=int, default=any_seed(), help="of chaos and life: the same seed, the same choices (default: any)"
    )
    parser.add_argument(
        "--service",
        type=Path,
        metavar="FILE",
        help="the running.json of a service whose page /demo shows beside the phone",
    )
    return parser, parser.parse_args(arguments)


async def _run(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(options) as ready:
        sys.stdout.write(json.dumps({"ready": True, **asdict(ready), "chaos": options.chaos}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: list[str]) -> int:
    """The exit code: 0 after a signal, 2 for a wish that cannot be fulfilled."""
    parser, parsed = _parse(arguments)
    try:
        require_loopback(parsed.host)
    except NotLoopback as error:
        parser.error(str(error))
    if not (0 <= parsed.chaos <= 1 and 0 <= parsed.life <= 1):
        parser.error("--chaos and --life are shares between 0 and 1")
    with tempfile.TemporaryDirectory(prefix="emulator-") as forgotten:
        options = Options(
            state_directory=parsed.state_dir or Path(forgotten),
            host=parsed.host,
            proxy_port=parsed.proxy_port,
            control_ports=parsed.control_port,
            chaos=parsed.chaos,
            life=parsed.life,
            seed=parsed.seed,
            service=parsed.service,
        )
        try:
            asyncio.run(_run(options))
        except (OSError, WordsNotFound) as error:
            sys.stderr.write(f"emulator: {error}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
