"""References can be read out: never two alike signs, the same from the page and from here, and read as people write."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from app.page.modules import joined
from shared.core.reference import SIGNS, read_reference, reference_of

FRONTEND = Path(__file__).resolve().parents[3] / "frontend"


def test_a_reference_is_six_signs_none_of_which_looks_like_another() -> None:
    made = {reference_of(f"company_{name}", attempt) for name in ("a", "b", "salon.7") for attempt in range(500)}
    assert len(made) == 1500
    assert set("".join(made)) <= {*SIGNS, "-"}
    assert not set("ILOU") & set(SIGNS)
    assert all(len(one) == 7 and one[3] == "-" for one in made)


def test_a_reference_is_read_however_it_was_written() -> None:
    reference = reference_of("company_aurora", 7)
    plain = reference.replace("-", "")
    for written in (
        reference,
        plain,
        plain.lower(),
        f" {reference[:3]} {reference[4:]} ",
        plain.replace("0", "O").replace("1", "l"),
    ):
        assert read_reference(written) == reference
    for other in ("", "aurora", "ABC", "ABC-DEFG", "ABC--DEF", "ABU-DEF", "company_aurora"):
        assert read_reference(other) is None


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: the page's references are compared in Chromium")
def test_the_page_makes_the_same() -> None:
    dice = random.Random(1)
    asked = [(f"company_{dice.getrandbits(60):x}", dice.randrange(10**6)) for _ in range(200)]
    code = joined("reference.js", lambda name: (FRONTEND / name).read_text())
    code += f"\nconsole.log(JSON.stringify({json.dumps(asked)}.map(([session, attempt]) => referenceOf(session, attempt))));"
    node = subprocess.run(["node", "--input-type=module"], input=code, capture_output=True, text=True, check=True)
    assert json.loads(node.stdout) == [reference_of(session, attempt) for session, attempt in asked]
