"""The licences that docs/licences.md speaks of are those that the installed packages declare."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|PSF|ISC|HPND|Python Software Foundation|0BSD|Unlicense|Zlib",
    re.IGNORECASE,
)
EXCEPTIONS = {"certifi", "orjson", "tqdm"}


def locked() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [found[1].lower().replace("_", "-") for line in lines if (found := re.match(r"([A-Za-z][\w.-]*)==", line))]


def licence_of(package: Distribution) -> str:
    """The package's own word: an expression, a classifier, or the first line of a text."""
    told: dict[str, Any] = package.metadata.json
    classifiers = [line for line in told.get("classifier", []) if line.startswith("License ::")]
    return " ".join([told.get("license_expression", ""), *classifiers, told.get("license", "").strip()[:60]])


def test_every_locked_package_has_a_licence_that_the_page_allows():
    strange = {}
    for name in locked():
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another interpreter or platform
            continue
        said = licence_of(package)
        files = [str(file) for file in package.files or () if "licen" in str(file).lower()]
        if name == "neonize":  # it declares none; its file is Apache's
            assert any("Apache License" in package.locate_file(file).read_text() for file in files)
        elif name == "pyrage":  # it declares none either; its file is the MIT licence
            assert any(
                "Permission is hereby granted, free of charge" in package.locate_file(file).read_text()
                for file in files
            )
        elif name not in EXCEPTIONS and not PERMISSIVE.search(said):
            strange[name] = said
    assert strange == {}


def test_the_exceptions_are_those_of_the_page_and_still_needed():
    page = (ROOT / "docs/licences.md").read_text()
    copyleft = {name for name in locked() if name in EXCEPTIONS and "MPL" in licence_of(distribution(name))}
    assert copyleft == EXCEPTIONS == set(re.findall(r"^\| (\w+) \| MPL", page, re.MULTILINE))


def test_the_project_says_its_own_licence():
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
