"""Takes over devices that another client linked, without a scan; and hands one back.

    python -m workers.moving import SOURCE   (onboarding import)
    python -m workers.moving export COMPANY  (onboarding export)
    python -m workers.moving backup FILE     (onboarding backup)
    python -m workers.moving restore FILE    (onboarding restore)

docs/moving-in.md has the evening, step by step. Stop the old service first, and for good: two clients of one device replace
each other for ever. Never use the old service's own log-out or delete, which unlinks the device on the phone.
"""

import argparse
import asyncio
import io
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from shared.private import keep_private
from workers.moving.backup import back_up, restore
from workers.moving.baileys import NotImportable
from workers.moving.command import hand_back, take_over
from workers.store.device import StoreAway, StoreRefused

CANNOT, STOPPED = 3, 1
COMMANDS = {"import": take_over, "export": hand_back, "backup": back_up, "restore": restore}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return its exit code: 0 if all were taken over, 1 some, 2 none, 3 if it could not begin."""
    keep_private()
    asked = _parser().parse_args(arguments)
    try:
        return asyncio.run(COMMANDS[asked.command](asked))
    except (NotImportable, StoreAway, StoreRefused) as error:
        sys.stderr.write(f"{str(error)[:1].upper()}{str(error)[1:]}.\n")
        return CANNOT
    except RedisError as error:
        sys.stderr.write(f"Redis cannot be reached ({type(error).__name__}).\n")
        return CANNOT
    except (KeyboardInterrupt, OSError) as error:
        why = f": {error.strerror or type(error).__name__}" if isinstance(error, OSError) else ""
        sys.stdout = io.StringIO()  # on a full disk Python would try to write the rest at its end, and complain
        sys.stderr.write(f"Stopped{why}. What was taken over stays; say the command again for the rest.\n")
        return STOPPED


def _number(kind: Callable[[str], float], least: int, called: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (number := kind(text)) < math.inf:
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is no {called} from {least} on")

    return read


_from_zero, _from_one = _number(float, 0, "number"), _number(int, 1, "whole number")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="onboarding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",  # for passwords: everybody on the machine can read a command line
    )
    commands = parser.add_subparsers(dest="command", required=True)
    take = commands.add_parser("import", help="take devices over from another client")
    take.add_argument(
        "source",
        help="a folder, a file, a database of whatsmeow, postgres://…, redis://…?hash=…, or @FILE that names it",
    )
    take.add_argument(
        "--keys", default="", metavar="SOURCE", help="where the old service keeps the other keys, if apart"
    )
    take.add_argument("--company-map", type=Path, metavar="FILE", help="CSV: the old system's name or jid, company")
    take.add_argument("--dry-run", action="store_true", help="judge every device and write nothing")
    take.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this name, jid or company; repeatable"
    )
    take.add_argument("--most", type=_from_one, metavar="N", help="at most so many now; say it again for the next")
    take.add_argument("--batch", type=_from_one, default=5, metavar="N", help="at most so many a minute (5)")
    take.add_argument("--replace", action="store_true", help="in place of a parked device of the same company")
    take.add_argument("--again", action="store_true", help="try parked devices of an earlier import again")
    take.add_argument(
        "--stay", type=_from_zero, default=60.0, metavar="S", help="look again after so many seconds (60)"
    )
    take.add_argument("--yes-stopped", action="store_true", help="the old service is stopped, and stays so")
    back = commands.add_parser("export", help="write one device for another client")
    back.add_argument("company")
    back.add_argument("--to", choices=["baileys"], required=True, help="the other client")
    back.add_argument("--folder", type=Path, required=True, help="the new folder to write")
    keep = commands.add_parser("backup", help="every device into one encrypted file, while everything runs")
    keep.add_argument("file", type=Path, help="the new file")
    again = commands.add_parser("restore", help="devices of a backup that the store has lost")
    again.add_argument("file", type=Path)
    again.add_argument("--dry-run", action="store_true", help="judge every device and write nothing")
    again.add_argument("--only", action="append", default=[], metavar="COMPANY", help="only this one; repeatable")
    again.add_argument("--stale", action="store_true", help="also keys older than a day")
    for command in (take, back, again):
        command.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    for command in (take, back, keep, again):
        command.add_argument("--by", default="", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
