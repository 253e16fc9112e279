"""What the documents say exists, exists."""

import re
import subprocess
from pathlib import Path

from tests.each import each
from tests.tooling import documented

ROOT = Path(__file__).parents[2]
#: The changelog names what is no more.
PAGES = [page for page in documented.pages() if page.name != "CHANGELOG.md"]


@each("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_its_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@each("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_files_and_commands_that_it_names_exist(page):
    text = page.read_text()
    for name in re.findall(r"`((?:app|shared|workers|emulator|frontend|tests|docs|\.ci)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|\$ )make (\w+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name} names make {target}"


def test_every_decision_is_listed():
    listed = (ROOT / "docs" / "adr" / "README.md").read_text()
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        assert page.name in listed
        assert page.read_text().startswith(f"# {page.name[:4]} ")


def test_bash_completes_the_operators_command_as_the_page_says():
    said = (ROOT / "docs" / "operations.md").read_text()
    typed = re.findall(r"`(PATH=[^`]*|eval [^`]*completion bash[^`]*)`", said)
    tab = 'COMP_WORDS=(onboarding sta) COMP_CWORD=1; _onboarding_completion onboarding; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", "; ".join([*typed, tab])], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "status\n", done.stderr


def test_make_alone_prints_its_targets():
    told = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    for target in ("setup", "run", "demo", "test", "check", "bench", "lock", "docs", "clean"):
        assert f"make {target} " in told.stdout
