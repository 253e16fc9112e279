"""Every command in the documents is run by a test that reads it from there; who runs which, the blocks' marks say."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import click
import psutil
import pytest
from markdown_it import MarkdownIt

from app.cli.__main__ import main as operators_command
from tests.e2e.processes import signal_all
from tests.operators.transcript import masked, steps_of
from tests.tooling import documented
from tests.tooling.documented import ROOT

EVERY = [block for page in documented.pages() for block in documented.blocks(page)]
#: The changelog names commands of old.
PRESENT = [page for page in documented.pages() if page.name != "CHANGELOG.md"]
#: Shown, and nothing that anybody could run.
PICTURES = ("mermaid", "")
READY, STOP_SECONDS = "Ctrl-C", 40
START_SECONDS = 90


def marked(by):
    return [block for block in EVERY if (block.kind, block.by) == ("run", by)]


@pytest.mark.parametrize("page", documented.pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_says_who_runs_it(page):
    for block in documented.blocks(page):
        if block.language in PICTURES:
            assert "\n$ " not in "\n" + block.text, f"{block.name}: commands belong into a console block"
            continue
        assert block.kind, f"{block.name} has no mark: see docs/style.md"
        if block.kind == "shown":
            assert len(block.by.split()) >= 3, f"{block.name}: say why nobody can run it"
        elif block.by not in RUNNERS:
            test = ROOT / block.by
            assert test.is_file(), f"{block.name} is run by {block.by}, which does not exist"
            assert page.name in test.read_text(), f"{block.by} does not read {page.name}"


@pytest.mark.parametrize("page", documented.pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_stands_in_fences_where_its_mark_can_stand(page):
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        assert token.type != "code_block", f"{page.name}:{token.map[0] + 1}: put code between fences"
        if token.type == "fence" and token.level:
            assert not token.info, f"{page.name}:{token.map[0] + 1}: put code at the left margin"


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_its_sentences_exist(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for words in re.findall(r"`(?:\./)?onboarding ([a-z][^`]*)`", text):
        assert_operators_command(words.split(), page)
    for module in re.findall(r"`python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), f"{page.name} names python -m {module}"


def assert_operators_command(words, page):
    command: click.Command = operators_command
    while words and isinstance(command, click.Group):
        name, *words = words
        assert name in command.commands, f"{page.name} names onboarding {name}"
        command = command.commands[name]
    if command.context_settings.get("ignore_unknown_options"):
        return  # another program reads the rest
    options = {option for one in command.params for option in one.opts} | {"--help"}
    for word in words:
        assert not word.startswith("--") or word.split("=")[0] in options, f"{page.name}: onboarding … has no {word}"


# --- the blocks that are run here -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the files, with our environment, and a HOME of its own."""
    folder = tmp_path_factory.mktemp("clone")
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\n")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    prefix, own = ROOT / ".venv", folder / ".venv"
    (own / "bin").mkdir(parents=True)
    for path in prefix.iterdir():
        if path.name != "bin":
            (own / path.name).symlink_to(path)
    for path in (prefix / "bin").iterdir():
        (own / "bin" / path.name).symlink_to(path.readlink() if path.is_symlink() else path)
    command = (prefix / "bin" / "onboarding").read_text().replace(str(ROOT), str(folder))
    (own / "bin" / "onboarding").unlink()
    (own / "bin" / "onboarding").write_text(command)
    (own / "bin" / "onboarding").chmod(0o755)
    return folder


class Running:
    """A command that goes on until Ctrl-C, such as `make demo`."""

    def __init__(self, clone, command):
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "WA_TEST_RUN") if name in os.environ}
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=clone, env={**kept, "HOME": str(clone)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if READY in line:
                return
        raise AssertionError(f"{command} ended with {self.process.wait()}:\n{self.said}")

    def stop(self):
        """Ctrl-C, as a terminal sends it: to all of the group."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.said += self.process.stdout.read()
        assert self.process.wait(STOP_SECONDS) in {0, -signal.SIGINT}, self.said  # make itself dies of it
        assert self.said.endswith("Stopped.\n"), self.said

    def clean_up(self):
        if self.process.poll() is None:
            family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
            signal_all(family, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def demo(clone):
    """The demo, started by the README's own block."""
    (block,) = marked("service demo")
    running = Running(clone, block.text.strip().removeprefix("$ "))
    yield running
    running.stop()
    running.clean_up()


def play(block, clone, **environment):
    """Runs the steps of a block one after the other; what the page says they say, they must say."""
    before = f'onboarding() {{ {sys.executable} -m app.cli "$@"; }}\n'
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "WA_TEST_RUN") if name in os.environ}
    for step in steps_of(block.text):
        done = subprocess.run(
            ["bash", "-c", before + step.command], cwd=clone, stdin=subprocess.DEVNULL, text=True,
            env={**kept, "HOME": str(clone), "LC_ALL": "C.UTF-8", **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.name}: {step.command}\n{done.stdout}"
        if step.output:
            expected = ".*".join(map(re.escape, masked(step.output).split("…")))
            assert re.fullmatch(expected, masked(done.stdout), re.DOTALL), (
                f"{block.name} says otherwise:\n{done.stdout}"
            )


def alone(block, clone, request):
    """Commands that need nothing but the checkout."""
    play(block, clone)


def beside_the_demo(block, clone, request):
    """Commands beside a running `make demo`."""
    request.getfixturevalue("demo")
    told = json.loads((clone / ".run" / "demo" / "running.json").read_text())
    play(block, clone, URL=f"http://127.0.0.1:{told['PORT']}", API_KEY=told["API_KEYS"].split()[0])


def dry(block, clone, request):
    """Targets of make that would run for long: what they would do can be said."""
    for step in steps_of(block.text):
        command = step.command.split("#")[0].strip()
        assert command.startswith("make "), block.name
        done = subprocess.run([*command.split(), "-n"], cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def with_help(block, clone, request):
    """The operators' commands with words that the reader fills in: asked for their help, with their options."""
    for step in steps_of(block.text):
        words = step.command.split("#")[0].replace("./onboarding", "onboarding").split()
        assert words[0] == "onboarding", block.name
        assert_operators_command(words[1:], block.page)
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", *words[1:], "--help"], cwd=clone, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def service(block, clone, request):
    """One command that goes on until Ctrl-C."""
    running = Running(clone, block.text.strip().removeprefix("$ "))
    try:
        running.stop()
    finally:
        running.clean_up()


def the_demo(block, clone, request):
    """`make demo` itself, which others run beside."""
    assert "/demo" in request.getfixturevalue("demo").said


RUNNERS = {
    "alone": alone,
    "demo": beside_the_demo,
    "dry": dry,
    "help": with_help,
    "service": service,
    "service demo": the_demo,
}


@pytest.mark.parametrize("block", [one for by in RUNNERS for one in marked(by)], ids=lambda block: block.name)
def test_what_the_page_says_happens(block, clone, request):
    RUNNERS[block.by](block, clone, request)
