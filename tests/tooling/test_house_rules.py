"""Rules of the house that no linter knows."""

import ast
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("app", "shared", "workers")
AROUND = ("bench", "docs", "emulator", "tests")

#: Who besides shared/settings.py touches the environment, and why.
ENVIRONMENT = {
    "shared/settings.py": "reads it: the one place",
    "app/local/__main__.py": "composes the environment of the processes that it launches",
    "workers/engine/parent.py": "composes the environment of the engine processes",
    "workers/engine/child/process.py": "writes over a variable of that, which Go reads in a linker",
    "workers/engine/child/confine.py": "looks where certificates and libraries are, and gives SQLite a place for its temporary files",
    "app/local/redis.py": "looks for redis-server on PATH",
}


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def touches_environment(tree):
    """Whether the module uses os.environ, os.getenv or their kin, by whatever name it imports them."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv", "get_exec_path"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names}:
            return True
    return False


@pytest.mark.parametrize(
    ("source", "touches"),
    [
        ("import os\nos.environ['A']", True),
        ("import os as o\no.getenv('A')", True),
        ("from os import environ as e", True),
        ("import os\nos.getpid()", False),
        ("from os import path", False),
    ],
)
def test_the_detector_of_environment_reads_works(source, touches):
    assert touches_environment(ast.parse(source)) is touches


def test_only_the_settings_read_the_environment():
    found = {
        path.relative_to(ROOT).as_posix()
        for path in python_files(*PRODUCT)
        if touches_environment(ast.parse(path.read_text()))
    }
    assert found <= set(ENVIRONMENT), (
        f"read the environment, but are not shared/settings.py: {found - set(ENVIRONMENT)}"
    )


def test_nothing_names_a_folder_outside_the_repository():
    word = "work" + "/shared"
    texts = [path for path in ROOT.rglob("*") if path.suffix in {".py", ".js", ".md", ".toml", ".json", ".html"}]
    inside = [
        path for path in texts if not {".git", "node_modules", ".run"} & set(path.parts) and ".venv" not in str(path)
    ]
    assert inside
    assert [path for path in inside if word in path.read_text() or "../" + "shared/" in path.read_text()] == []


def classes(tree):
    """Names of the classes that a module defines, at any depth, and of its aliases of types, but for type variables."""
    made = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, is_variable = node.targets[0].id, ast.unparse(node.value).startswith(("TypeVar(", "ParamSpec("))
            if name[0].isupper() and not name.isupper() and not is_variable:
                made.append(name)
    return made


def test_no_two_classes_of_the_product_share_a_name():
    """Nor does an alias share its name with a class or another alias: one name, one meaning."""
    source = "class A:\n  class B: ...\ndef f():\n  class C: ...\nDe = dict[str, A]\nMOST = 1\nT_co = TypeVar('T_co')"
    assert classes(ast.parse(source)) == ["A", "B", "C", "De"]
    homes = defaultdict(list)
    for path in python_files(*PRODUCT):
        for name in classes(ast.parse(path.read_text())):
            homes[name].append(path.relative_to(ROOT).as_posix())
    assert len(homes) > 100
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_docstring_of_the_product_begins_with_a_question():
    """The subject comes first (docs/style.md)."""
    question = re.compile(r'"""(What|Who|Whose|Whom|How|Where|When|Why|Which)\b')
    assert question.search('"""Why it ended."""')
    assert not question.search('"""WhatsApp\'s answer."""')
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in python_files(*PRODUCT)
        for line in path.read_text().splitlines()
        if question.search(line)
    ]
    assert found == []


def test_a_long_file_says_why_it_is_one():
    long = {path for path in python_files(*PRODUCT, *AROUND) if len(path.read_text().splitlines()) > 250}
    silent = {path for path in long if "one file" not in " ".join((docstring_of(path) or "").lower().split())}
    assert {path.relative_to(ROOT).as_posix() for path in silent} == set(), (
        "more than 250 lines: split it by purpose, or say in its docstring why it is one file (docs/style.md)"
    )


#: Files that copy or take apart a dataclass, and the class. Of a `Datum` the same is done by shared/core/datum.py: with the
#: functions of `dataclasses` it passes mypy, and fails when it runs.
DATACLASSES = {
    "shared/state/rescue.py": "Change",
    "workers/leases.py": "Change",
    "workers/moving/archive.py": "BackupList",
}


def takes_dataclasses_apart(tree):
    """True if the module uses dataclasses.replace or its kin, by whatever name it imports them."""
    names, modules = {"replace", "asdict", "astuple", "fields"}, {"dataclasses"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname for alias in node.names if alias.name == "dataclasses" and alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module in {"dataclasses", "pydantic.dataclasses"}:
            if names & {alias.name for alias in node.names}:
                return True
        elif isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) in modules:
            return True
    return False


@pytest.mark.parametrize(
    ("source", "apart"),
    [
        ("from dataclasses import dataclass, replace", True),
        ("from dataclasses import asdict as told", True),
        ("import dataclasses\ndataclasses.fields(A)", True),
        ("import dataclasses as d\nd.astuple(a)", True),
        ("from dataclasses import dataclass, field", False),
        ("from shared.core.datum import asdict, replace\n'a'.replace('a', 'b')", False),
    ],
)
def test_the_detector_of_dataclasses_taken_apart_works(source, apart):
    assert takes_dataclasses_apart(ast.parse(source)) is apart


def test_no_datum_is_copied_or_taken_apart_as_a_dataclass():
    found = {
        path.relative_to(ROOT).as_posix()
        for path in python_files(*PRODUCT)
        if takes_dataclasses_apart(ast.parse(path.read_text()))
    }
    assert found == set(DATACLASSES), "use shared/core/datum.py, or name the dataclass in DATACLASSES"
    kinds = {
        node.name: {ast.unparse(one).partition("(")[0] for one in node.decorator_list}
        for path in python_files(*PRODUCT)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert [name for name in DATACLASSES.values() if not kinds[name] & {"dataclass", "checked"}] == []


def docstring_of(path):
    return ast.get_docstring(ast.parse(path.read_text()))


def test_nothing_is_committed_that_is_made_here():
    """A folder that .gitignore names, as site/, can still be added before its line is written."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no checkout of git")
    ignored = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(ignored, cwd=ROOT, check=True, capture_output=True, text=True).stdout == ""
