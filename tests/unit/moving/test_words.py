"""The words of `onboarding import`: an address with a password need not stand on a command line, which everybody can read."""

import pytest

from workers.moving.__main__ import _parser

URL = "postgres://reader:pass word@old.example/evolution"


def test_words_may_come_from_a_file(tmp_path):
    (tmp_path / "source.txt").write_text(f"{URL}\n--keys\nredis://:word@old.example/6?hash=evolution:instance:*\n")
    asked = _parser().parse_args(["import", f"@{tmp_path}/source.txt", "--dry-run"])
    assert (asked.source, asked.dry_run) == (URL, True)
    assert asked.keys.startswith("redis://:word@")


def test_a_file_that_is_not_there_is_named_and_nothing_begins(tmp_path, capsys):
    with pytest.raises(SystemExit):
        _parser().parse_args(["import", f"@{tmp_path}/none.txt"])
    assert "none.txt" in capsys.readouterr().err
