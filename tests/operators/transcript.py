"""Console blocks in the documents: each command in them is run, and what it says must be what stands there.

    ```console
    $ redis-cli ZCARD arq:queue:linking
    1
    ```

Moments, ids, durations and sizes are masked before the comparison. `WRITE_DOCS=1 make test TESTS=tests/operators`
writes what was said into the documents instead.
"""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITE = bool(os.environ.get("WRITE_DOCS"))

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: What differs from run to run, and what stands for it.
_VOLATILE: tuple[tuple[str, str], ...] = (
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    # No word: one id in two thousand has no small letter, or no capital.
    (r"(?<![\w-])(?![a-z_-]+(?![\w-]))[\w-]{16}(?![\w-])", "<link>"),
    (r"eyJ[\w.…-]+", "<token>"),
    (r"\b[\w.-]+?-\d+-[0-9a-f]{6}\b", "<worker>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "<time>"),
    (r"\b\d{13}-\d+\b", "<id>"),
    (r"\b[\w-]+@[\w.-]+\b", "<who>"),
    (r"\b\d+\.\d+\.\d+\b", "<version>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"\b\d{5,}\b", "<n>"),
    (r"\+?\b\d+(\.\d+)? ?(ms|s|min|h|d|MB|M|K|KB|seconds)\b", "<much>"),
    (r"[-─━╸╺ ]{2,}", " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what the document says that it says."""

    command: str
    output: str


def masked(text: str, *, unordered: bool = False) -> str:
    """The text without what differs from run to run."""
    for pattern, instead in _VOLATILE:
        text = re.sub(pattern, instead, text)
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join(sorted(lines) if unordered else lines)


def _shortened(text: str) -> str:
    """Without tokens: nobody needs a valid one in a document."""
    return re.sub(r"(eyJ[\w-]{12})[\w.-]+", r"\1…", text)


def blocks(text: str) -> list[list[Step]]:
    """The commands of each console block, in order."""
    return [steps_of(found) for found in _BLOCK.findall(text)]


def steps_of(block: str) -> list[Step]:
    """The commands of one block, and what it says that they say."""
    steps: list[Step] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command += "\n" + more
        steps.append(Step(command, output.rstrip("\n")))
    return steps


def _plain_lines() -> str:
    """The `redis-cli` of the pages, as docs/operations.md tells operators to define it."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(found)


class Shell:
    """Runs a document's commands beside a service, as an operator's terminal would."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._env = {
            **os.environ,
            **{name: environment[name] for name in ("REDIS_URL", "SECRET_KEY", "API_KEYS", "PORT")},
            "API_KEY": environment["API_KEYS"],
            "URL": f"http://127.0.0.1:{environment['PORT']}",
            "USER": "anna",
            "LOGNAME": "anna",
            "LC_ALL": "C.UTF-8",
            **{name: value for name, value in environment.items() if name.startswith("DOC_")},
        }
        self._before = f'{_plain_lines()}onboarding() {{ {shlex.quote(sys.executable)} -m app.cli "$@"; }}\n'

    async def __call__(self, command: str) -> str:
        """What the command says, on both streams."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", self._before + command, cwd=ROOT, env=self._env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return "\n".join(line.rstrip() for line in out.decode().rstrip().splitlines())


class Document:
    """A document whose console blocks are executed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self._written = 0

    def section(self, head: str) -> list[Step]:
        """The commands below a heading, up to the next of its level or a higher one."""
        level = head.split(" ", 1)[0]
        before, after = f"\n{self.text}".split(f"\n{head}\n", 1)
        self._written = min(self._written, len(before)) if head.startswith("# ") else len(before)
        until = re.search(rf"^#{{1,{len(level)}}} ", after, re.MULTILINE)
        return [step for block in blocks(after[: until.start()] if until else after) for step in block]

    async def play(self, steps: Sequence[Step], shell: Shell) -> list[str]:
        """Run the commands in order; a line for each whose output is not what the document says."""
        return [line for step in steps for line in await self.check(step, await shell(step.command))]

    async def check(self, step: Step, said: str) -> list[str]:
        """Nothing when the document tells the truth about the step (or was made to); else what is wrong."""
        self._written = max(self._written, self.text.find(f"$ {step.command}\n", self._written))
        unordered = "--scan" in step.command or "wa:stats" in step.command
        if masked(said, unordered=unordered) == masked(step.output, unordered=unordered):
            return []
        if not WRITE:
            return [f"$ {step.command}\n--- {self.path.name} says\n{step.output}\n--- it says\n{said}"]
        old = f"$ {step.command}\n{step.output}\n" if step.output else f"$ {step.command}\n"
        at = self.text.find(old, self._written)
        if at < 0:
            return [f"not found in {self.path.name}: {old}"]
        new = f"$ {step.command}\n{_shortened(said)}\n" if said else f"$ {step.command}\n"
        self.text = self.text[:at] + new + self.text[at + len(old) :]
        self._written = at + len(new)
        self.path.write_text(self.text, encoding="utf-8")
        return []
