"""The page's files, stripped and joined: they say the same, and what cannot be joined is refused."""

import re
import shutil
import subprocess

import pytest

from app.page.assets import ENTRIES, FRONTEND, SERVED, stripped
from app.page.modules import NotPlain, joined

SOURCES = sorted(path for glob in SERVED for path in FRONTEND.glob(glob))
MODULES = [path for path in SOURCES if path.suffix == ".js"]
SHEETS = [path for path in SOURCES if path.suffix == ".css"]


def named(path):
    return path.relative_to(FRONTEND).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_stripped_module_parses_and_is_one_that_the_stripper_understands(path):
    source = path.read_text()
    assert not re.search(r"\$\{[^{}`]*`", source), "a template literal in another is beyond rjsmin: name the inner one"
    code = stripped(path.name, source)
    assert len(code) < len(source)
    if node := shutil.which("node"):
        checked = subprocess.run([node, "--check", "--input-type=module"], input=code, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("entry", ENTRIES)
def test_joined_modules_parse(entry):
    code = stripped(entry, joined(entry, lambda name: (FRONTEND / name).read_text()))
    exported = re.findall(r"\bexport function (\w+)", code)
    assert exported == (["createCountryList"] if entry == "view/country-list.js" else [])
    assert not re.search(r"^import\b", code, re.MULTILINE)
    if node := shutil.which("node"):
        checked = subprocess.run([node, "--check", "--input-type=module"], input=code, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        (
            {"main.js": 'import { b } from "./b.js";\nconst a = b;\n', "b.js": "const a = 1;\nexport const b = a;\n"},
            "both have a a",
        ),
        ({"main.js": 'import * as b from "./b.js";\n', "b.js": "export const b = 1;\n"}, "import \\* as b"),
        ({"main.js": "export default 1;\n"}, "export default"),
        ({"main.js": 'import "./b.js";\n', "b.js": 'import "./main.js";\n'}, "imports itself"),
    ],
)
def test_what_cannot_be_joined_is_refused_by_name(modules, told):
    with pytest.raises(NotPlain, match=told):
        joined("main.js", modules.__getitem__)


@pytest.mark.parametrize(
    "literal",
    [
        "`two  blanks // no comment ${b} /* none */`",
        '/[/]\\/\\/ "`/',
        "/\\{(\\w+)\\}/g",
        '"https://example.org/* none */"',
        "'it\\'s // none'",
    ],
)
def test_what_only_looks_like_a_comment_stays(literal):
    for before in ("const a = ", "return ", "f(", "[1, "):
        code = stripped("x.js", f"// first\n{before}{literal} // second\n/* third */")
        assert literal in code
        assert not re.search("first|second|third", code)


@pytest.mark.browser
async def test_a_stripped_stylesheet_says_the_same(browser):
    page = await browser.new_page()
    for path in SHEETS:
        source = path.read_text()
        before, after = await page.evaluate(
            """(texts) => texts.map((text) => {
                const sheet = new CSSStyleSheet();
                sheet.replaceSync(text);
                return Array.from(sheet.cssRules, (rule) => rule.cssText);
            })""",
            [source, stripped(path.name, source)],
        )
        assert before
        assert after == before, path
