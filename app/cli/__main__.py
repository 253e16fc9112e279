"""The command line. Everything heavy is imported when a command runs, so that `--help` is there at once."""

import getpass
import importlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import app.cli
from shared import VERSION

ROOT = Path(__file__).resolve().parents[2]
F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def who() -> str:
    """The person who acts, for the record: `anna@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname().split('.')[0][:24]}"


def _go(module: str, function: str, as_json: bool, **arguments: Any) -> None:
    """Run `app.cli.<module>.<function>` and show its answer; the exit code is the answer's."""
    from app.cli import terminal

    work = getattr(importlib.import_module(f"app.cli.{module}"), function)
    sys.exit(terminal.run(work, as_json=as_json, **arguments))


def _go_moving(command: str, words: tuple[str, ...]) -> None:
    """Run `workers.moving`, which knows the device store, in a process of its own, with this command's settings."""
    from shared.settings import environment_for_operator

    asks = {"-h", "--help"} & set(words)
    start = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module('workers.moving', run_name='__main__')"
    )
    line = [sys.executable, "-c", start, command, *words, *(() if asks else ("--by", who()))]
    environment = None if asks else environment_for_operator()
    sys.exit(subprocess.run(line, env=environment, check=False).returncode)


def _json(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Answer as JSON, for programs.")(function)


@click.group(
    context_settings=_SETTINGS, help=app.cli.__doc__, epilog="Exit codes: 0 well, 1 something is ill, 2 cannot."
)
@click.version_option(VERSION, prog_name="onboarding")
def main() -> None:
    """See the package."""


# --- what is going on -------------------------------------------------------------------------------------------------


@main.command()
@click.argument("company", required=False)
@_json
def status(company: str | None, as_json: bool) -> None:
    """State of COMPANY; without one, of the whole service."""
    _go("looking", "company" if company else "service", as_json, **({"company": company} if company else {}))


@main.command(short_help="Events of COMPANY, or the acts of `operators`.")
@click.argument("company")
@click.option("-n", "--last", default=50, show_default=True, help="Number of events.")
@click.option("-f", "--follow", is_flag=True, help="Go on as they happen, until Ctrl-C.")
@_json
def timeline(company: str, last: int, follow: bool, as_json: bool) -> None:
    """Events of COMPANY (or company_<id>, or the reference that its owner reads out, such as K7M-2QX; `operators` for
    the acts of operators)."""
    _go("story", "timeline", as_json, company=company, last=last, follow=follow)


@main.command()
@click.option("--state", help="Only these, such as linked, awaiting_phone, failed.")
@_json
def sessions(state: str | None, as_json: bool) -> None:
    """Every session: where it stands, who holds it, since when."""
    _go("looking", "sessions", as_json, state=state)


@main.command()
@_json
def workers(as_json: bool) -> None:
    """Workers: which of them live, what they hold, how much memory they take."""
    _go("fleet", "workers", as_json)


@main.command(short_help="Owners who wait or are served, and the other jobs.")
@_json
def queue(as_json: bool) -> None:
    """Owners who wait and since when, those who are served; other jobs, and those that failed."""
    _go("fleet", "queue", as_json)


@main.command()
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option(
    "--interval", default=1.0, show_default=True, type=click.FloatRange(0.2, 60), help="Seconds between looks."
)
@_json
def top(once: bool, interval: float, as_json: bool) -> None:
    """Workers, sessions, the queue and the newest endings as they move, until Ctrl-C."""
    _go("top", "top", as_json, once=once, interval=interval)


# --- steering ---------------------------------------------------------------------------------------------------------


@main.group()
def link() -> None:
    """Make links, or make them useless."""


@link.command("create")
@click.argument("company")
@click.option("--name", help="The company's name on the page.")
@click.option("--phone", help="Only this phone may be linked.")
@click.option("--locale", help="The page's language, such as ru.")
@click.option(
    "--hours", default=24.0, show_default=True, type=click.FloatRange(0.02, 168), help="Lifetime of the link."
)
@click.option("--return-url", help="Where the page leads when it is done.")
@_json
def link_create(
    company: str,
    name: str | None,
    phone: str | None,
    locale: str | None,
    hours: float,
    return_url: str | None,
    as_json: bool,
) -> None:
    """Make a link with which COMPANY can link its WhatsApp. Needs SECRET_KEY."""
    _go(
        "acting",
        "create_link",
        as_json,
        company=company,
        name=name,
        phone=phone,
        locale=locale,
        hours=hours,
        return_url=return_url,
        by=who(),
    )


@link.command("revoke")
@click.argument("id_or_url")
@_json
def link_revoke(id_or_url: str, as_json: bool) -> None:
    """Make a link useless at once, by its id or its whole address."""
    _go("acting", "revoke_link", as_json, id_or_url=id_or_url, by=who())


@main.command("open")
@click.argument("company")
@click.option("--name", help="The company's name on the page.")
@click.option("--print", "only_print", is_flag=True, help="Print the address; open nothing.")
@_json
def open_page(company: str, name: str | None, only_print: bool, as_json: bool) -> None:
    """Make a link for COMPANY and open it in this machine's browser."""
    _go("acting", "open_link", as_json, company=company, name=name, show_page=not only_print, by=who())


@main.command("import", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def import_(words: tuple[str, ...]) -> None:
    """Take over devices that another client linked, without a scan (docs/moving-in.md)."""
    _go_moving("import", words)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def export(words: tuple[str, ...]) -> None:
    """Write one device for another client, so that nobody is locked in (docs/moving-in.md)."""
    _go_moving("export", words)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def backup(words: tuple[str, ...]) -> None:
    """Write every linked device into one encrypted FILE, while everything runs (docs/deploy.md)."""
    _go_moving("backup", words)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def restore(words: tuple[str, ...]) -> None:
    """Put devices of a backup FILE back that the store has lost (docs/deploy.md)."""
    _go_moving("restore", words)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: eval "$(onboarding completion bash)"."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:  # the choice has only shells that click knows
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(complete(main, {}, "onboarding", "_ONBOARDING_COMPLETE").source())


@main.group()
def webhooks() -> None:
    """See what your server has not taken yet, and send it anew."""


@webhooks.command("list")
@_json
def webhooks_list(as_json: bool) -> None:
    """Events that wait for their next try."""
    _go("hooks", "deliveries", as_json, standing="waiting")


@webhooks.command("dead")
@_json
def webhooks_dead(as_json: bool) -> None:
    """Events that nobody took for a day; kept for a week."""
    _go("hooks", "deliveries", as_json, standing="dead")


@webhooks.command("show")
@click.argument("event")
@_json
def webhooks_show(event: str, as_json: bool) -> None:
    """One EVENT that waits or is dead."""
    _go("hooks", "show", as_json, event=event)


@webhooks.command("resend")
@click.argument("event")
@_json
def webhooks_resend(event: str, as_json: bool) -> None:
    """Send EVENT at once, and try for another day; one of the newest 10,000 as well."""
    _go("hooks", "resend", as_json, event=event, by=who())


@webhooks.command("test")
@click.option("--company", required=True, help="Whose receiver: the company's own, or the service's.")
@_json
def webhooks_test(company: str, as_json: bool) -> None:
    """Send a test to the receiver of a company."""
    _go("hooks", "test", as_json, company=company, by=who())


@main.group()
def key() -> None:
    """Make keys for the API."""


@key.command("new")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="Only this part: links, companies, messages, ops. Repeatable.")
@_json
def key_new(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key for the API, and its entry for API_KEYS, which holds its hash alone."""
    from app.cli import secrets

    sys.exit(secrets.show_new_key(name, scopes, as_json=as_json))


@key.command("backup")
@_json
def key_backup(as_json: bool) -> None:
    """Make a pair of keys for backups: one half makes them, the other opens them."""
    from app.cli import secrets

    sys.exit(secrets.show_backup_key(as_json=as_json))


@main.command()
@click.argument("company")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is done.")
@_json
def unlink(company: str, yes: bool, wait: bool, as_json: bool) -> None:
    """Log COMPANY's device out at WhatsApp and forget it."""
    if not yes:
        click.confirm(f"Log {company} out and forget its device?", abort=True, err=True)
    _go("acting", "unlink", as_json, company=company, wait=wait, by=who())


@main.command()
@click.argument("company")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is done.")
@_json
def forget(company: str, yes: bool, wait: bool, as_json: bool) -> None:
    """Log COMPANY out, and forget whatever is known of it; one line of the audit stays."""
    if not yes:
        click.confirm(f"Log {company} out, and forget all that is known of it?", abort=True, err=True)
    _go("acting", "forget", as_json, company=company, wait=wait, by=who())


@main.command()
@click.argument("company")
@_json
def unpark(company: str, as_json: bool) -> None:
    """Have COMPANY's device held again, which was parked: its ban is over, or nobody else has its keys any more."""
    _go("acting", "unpark", as_json, company=company, by=who())


@main.command()
@click.argument("company")
@click.option("--phone", help="Also this phone's; in E.164, +79001234567.")
@click.option("--clear", is_flag=True, help="Let them try again at once.")
@_json
def cooldowns(company: str, phone: str | None, clear: bool, as_json: bool) -> None:
    """Cool-downs of COMPANY: waits before a code may be asked again. Needs SECRET_KEY, as the names are hashed with
    it."""
    _go("acting", "cooldowns", as_json, company=company, phone=phone, clear=clear, by=who())


@main.command(short_help="Have WORKER hand everything over and end.")
@click.argument("worker")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is gone.")
@_json
def drain(worker: str, wait: bool, as_json: bool) -> None:
    """Have WORKER hand everything over and end; its host starts a new one. The beginning of its id is enough."""
    _go("fleet", "drain", as_json, worker=worker, wait=wait, by=who())


@main.group(invoke_without_command=True, short_help="See what is switched on, or throw a switch.")
@_json
@click.pass_context
def switch(context: click.Context, as_json: bool) -> None:
    """Show the switches that are on; `switch on NAME` and `switch off NAME` throw one, on every process at once."""
    if context.invoked_subcommand is None:
        _go("fleet", "switches", as_json)


@switch.command("list")
@_json
def switch_list(as_json: bool) -> None:
    """Switches that are on, since when and by whom, and all that there are."""
    _go("fleet", "switches", as_json)


@switch.command("on")
@click.argument("name")
@click.argument("value", default="on")
@click.option("--why", default="", help="For the record.")
@_json
def switch_on(name: str, value: str, why: str, as_json: bool) -> None:
    """Throw NAME: pause, qr-only, region:KZ, log-level debug."""
    _go("fleet", "throw", as_json, name=name, value=value, by=who(), why=why)


@switch.command("off")
@click.argument("name")
@click.option("--why", default="", help="For the record.")
@_json
def switch_off(name: str, why: str, as_json: bool) -> None:
    """Take NAME back."""
    _go("fleet", "throw", as_json, name=name, value="", by=who(), why=why)


@main.command(short_help="Look for what should not be, and put it right.")
@click.option("--repair", is_flag=True, help="Put right what can be put right from here.")
@_json
def doctor(repair: bool, as_json: bool) -> None:
    """Look for what should not be: dead owners, overdue jobs, stuck onboardings, devices that nobody holds."""
    _go("doctor", "doctor", as_json, repair=repair, by=who())


if __name__ == "__main__":
    main(prog_name="onboarding")
