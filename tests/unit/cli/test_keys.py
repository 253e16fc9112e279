"""`onboarding key new`: the key is shown once, and what is kept of it opens the API for it alone."""

import json

import pytest
from click.testing import CliRunner

from app.cli.__main__ import main
from app.http.border import Callers
from shared.core.apikeys import Scope, read_api_keys


def test_a_new_key_opens_what_its_entry_says():
    made = json.loads(
        CliRunner().invoke(main, ["key", "new", "shop", "--scope", "links", "--scope", "ops", "--json"]).stdout
    )
    (known,) = read_api_keys([made["entry"]])
    assert Callers((known,)).identify(f"Bearer {made['key']}").scopes == {Scope.LINKS, Scope.OPS}
    assert made["key"] not in made["entry"]


def test_people_see_the_key_once_and_the_entry():
    shown = CliRunner().invoke(main, ["key", "new", "shop"]).stdout
    assert shown.count("wak_") == 1
    assert "shop:sha256:" in shown


@pytest.mark.parametrize("arguments", [["Shop"], ["key-1"], ["a b"], ["shop", "--scope", "all"], ["x" * 33]])
def test_a_bad_name_or_scope_of_a_key_is_refused_with_a_sentence(arguments):
    told = CliRunner().invoke(main, ["key", "new", *arguments])
    assert told.exit_code == 2
    assert told.stderr.strip().endswith(".")
