"""The command line, as a table. Everything heavy is imported when a command runs, so that `--help` is there at once."""

import getpass
import importlib
import io
import re
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

import app.cli
from shared import VERSION

ROOT = Path(__file__).resolve().parents[2]

_TABLE = """
status = looking.status [company]
    Show the state of COMPANY. Without one, that of the whole service.
timeline = story.timeline company last follow
    Show the events of COMPANY, or the acts of `operators`. COMPANY may also be company_<id>, or the reference that its
    owner reads out, such as K7M-2QX.
sessions = looking.sessions state
    Show every session. A line says where it stands, who holds it, and since when.
workers = fleet.workers
    Show the workers. A line says whether one lives, what it holds, and how much memory it takes.
queue = fleet.queue
    Show the owners who wait or are served. Then the other jobs, and those that failed.
top = top.top once interval
    Show the service as it moves, until Ctrl-C. It has workers, sessions, the queue and the newest endings.
link create = acting.create_link! company name only-phone locale hours return-url
    Make a link with which COMPANY can link its WhatsApp. Needs SECRET_KEY.
link revoke = acting.revoke_link! id-or-url
    Make a link useless at once, by its id or its whole address.
open = acting.open_link! company name print
    Make a link for COMPANY and open it in this machine's browser.
webhooks list = hooks.deliveries standing=waiting
    Show the events that wait for their next try.
webhooks dead = hooks.deliveries standing=dead
    Show the events that nobody took for a day. They are kept for a week.
webhooks show = hooks.show event
    Show one EVENT that waits or is dead.
webhooks resend = hooks.resend! event
    Send EVENT at once, and try for another day. It may be one of the newest 10,000 as well.
webhooks test = hooks.test! whose
    Send a test to the receiver of a company.
key new = secrets.new_key key-name scope
    Make a key for the API. Its entry for API_KEYS holds its hash alone.
key backup = secrets.backup_key
    Make a pair of keys for backups. One half makes them, the other opens them.
unlink = acting.unlink! company wait
    Log COMPANY's device out at WhatsApp and forget it.
    ? Log {company} out and forget its device?
forget = acting.forget! company wait
    Log COMPANY out, and forget whatever is known of it. One line of the audit stays.
    ? Log {company} out, and forget all that is known of it?
unpark = acting.unpark! company
    Have COMPANY's parked device held again. Do it when its ban is over, or when nobody else has its keys any more.
cooldowns = acting.cooldowns! company its-phone clear
    Show the cool-downs of COMPANY. They are waits before a code may be asked again. Needs SECRET_KEY, as the names are
    hashed with it.
drain = fleet.drain! worker wait
    Have WORKER hand everything over and end. Its host starts a new one. The beginning of its id is enough.
switch list = fleet.switches
    Show the switches that are on, since when and by whom, and all that there are.
switch on = fleet.throw! switch value why
    Throw NAME. It may be pause, qr-only, region:KZ or log-level debug.
switch off = fleet.throw! switch why value=
    Take NAME back.
doctor = doctor.doctor! repair
    Look for what should not be, and put it right. It finds dead owners, overdue jobs, stuck onboardings, and
    devices that nobody holds.
"""
"""A command, its function in `app.cli`, and the words of `_WORDS` and `name=value` that this takes. `!`: the function is
told who acts. `?`: a question that must be answered with yes first."""

_argument, _option = click.Argument, partial(click.Option, show_default=True)
_flag = partial(click.Option, is_flag=True)
_JSON = _flag(["--json", "as_json"], help="Answer as JSON, for programs.")
_YES = _flag(["-y", "--yes"], help="Do not ask.")
_WORDS: dict[str, click.Parameter] = {
    "company": _argument(["company"]),
    "[company]": _argument(["company"], required=False),
    "event": _argument(["event"]),
    "id-or-url": _argument(["id_or_url"]),
    "key-name": _argument(["name"]),
    "switch": _argument(["name"]),
    "value": _argument(["value"], default="on"),
    "worker": _argument(["worker"]),
    "clear": _flag(["--clear"], help="Let them try again at once."),
    "follow": _flag(["-f", "--follow"], help="Go on as they happen, until Ctrl-C."),
    "hours": _option(["--hours"], default=24.0, type=click.FloatRange(0.02, 168), help="Lifetime of the link."),
    "interval": _option(["--interval"], default=1.0, type=click.FloatRange(0.2, 60), help="Seconds between looks."),
    "its-phone": _option(["--phone"], help="Also this phone's; in E.164, +79001234567."),
    "last": _option(["-n", "--last"], default=50, help="Number of events."),
    "locale": _option(["--locale"], help="The page's language, such as ru."),
    "name": _option(["--name"], help="The company's name on the page."),
    "once": _flag(["--once"], help="Look once, and end."),
    "only-phone": _option(["--phone"], help="Only this phone may be linked."),
    "print": _flag(["--print", "only_print"], help="Print the address; open nothing."),
    "repair": _flag(["--repair"], help="Put right what can be put right from here."),
    "return-url": _option(["--return-url"], help="Where the page leads when it is done."),
    "scope": _option(
        ["--scope", "scopes"], multiple=True, help="Only this part: links, companies, messages, ops. Repeatable."
    ),
    "state": _option(["--state"], help="Only these, such as linked, awaiting_phone, failed."),
    "wait": _option(["--wait/--no-wait"], default=True, help="Until it is done."),
    "whose": _option(["--company"], required=True, help="Whose receiver: the company's own, or the service's."),
    "why": _option(["--why"], default="", help="For the record.", show_default=False),
}
_GROUPS = {
    "link": click.Group(help="Make links, or make them useless."),
    "webhooks": click.Group(help="See what your server has not taken yet, and send it anew."),
    "key": click.Group(help="Make keys for the API."),
    "switch": click.Group(help="See what is switched on, or throw a switch on every process at once."),
}
_MOVING = {
    "import": "Take over devices that another client linked, without a scan (docs/moving-in.md).",
    "export": "Write one device for another client, so that nobody is locked in (docs/moving-in.md).",
    "backup": "Write every linked device into one encrypted FILE, while everything runs (docs/deploy.md).",
    "restore": "Put devices of a backup FILE back that the store has lost (docs/deploy.md).",
}


def who() -> str:
    """The person who acts, for the record: `anna@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname().split('.')[0][:24]}"


class _Group(click.Group):
    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command. If its answer cannot be written, as on a full disk, end with one sentence and exit code 2."""
        sys.stdout = sys.stdout or io.StringIO()  # closed: what is asked for is done all the same
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            sys.stdout = io.StringIO()  # at its end Python would try to write the rest of it, and complain
            sys.stderr.write(f"The answer cannot be written: {error.strerror}.\n")
            sys.exit(2)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=app.cli.__doc__,
    epilog="Exit codes: 0 well, 1 something is ill, 2 cannot.",
)
@click.version_option(VERSION, prog_name="onboarding")
def main() -> None: ...


def _run(work: str, ask: str, *, as_json: bool, yes: bool = True, **arguments: Any) -> None:
    """Run `app.cli.<work>` and show its answer; the exit code is the answer's."""
    from app.cli import terminal
    from shared.core.fields import UNREADABLE

    if UNREADABLE.search("".join(map(str, arguments.values()))):
        raise click.UsageError("An argument is not UTF-8.")
    if ask and not yes:
        click.confirm(ask.format(**arguments), abort=True, err=True)
    module, _, function = work.rstrip("!").partition(".")
    if work.endswith("!"):
        arguments["by"] = who()
    does = getattr(importlib.import_module(f"app.cli.{module}"), function)
    sys.exit(terminal.run(does, as_json=as_json, **arguments))


def _run_moving(command: str, words: tuple[str, ...]) -> None:
    """Run `workers.moving`, which knows the device store, in a process of its own, with this command's settings."""
    from app.cli.environment import environment_for_operator

    asks = {"-h", "--help"} & set(words)
    start = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module('workers.moving', run_name='__main__')"
    )
    line = [sys.executable, "-c", start, command, *words, *(() if asks else ("--by", who()))]
    environment = None if asks else environment_for_operator()
    sys.exit(subprocess.run(line, env=environment, check=False).returncode)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: eval "$(onboarding completion bash)"."""
    from click.shell_completion import get_completion_class

    if (complete := get_completion_class(shell)) is not None:
        click.echo(complete(main, {}, "onboarding", "_ONBOARDING_COMPLETE").source())


for _name, _group in _GROUPS.items():
    main.add_command(_group, _name)
for _name, _about in _MOVING.items():
    _words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    _passed = {"ignore_unknown_options": True, "help_option_names": []}
    _all = partial(_run_moving, _name)
    main.add_command(click.Command(_name, callback=_all, params=[_words], help=_about, context_settings=_passed))
for _path, _work, _taken, _told in re.findall(r"^(\w.*) = (\S+)(.*)\n((?:    .*\n)+)", _TABLE, re.MULTILINE):
    _about, _, _ask = (one.strip() for one in _told.partition("?"))
    _fixed = dict(one.split("=") for one in _taken.split() if "=" in one)
    _params = [*(_WORDS[one] for one in _taken.split() if "=" not in one), *([_YES] if _ask else []), _JSON]
    _of, _, _name = _path.rpartition(" ")
    _does = partial(_run, _work, _ask, **_fixed)
    _GROUPS.get(_of, main).add_command(click.Command(_name, callback=_does, params=_params, help=_about))

if __name__ == "__main__":
    main(prog_name="onboarding")
