"""`make demo`: the real service against the emulator, and nothing of it afterwards."""

import re
import signal
import urllib.request

import pytest

from app.local.redis import free_port
from tests.tooling.launched import Launched


@pytest.fixture
def demo(tmp_path):
    launched = Launched("emulator.demo", f"--folder={tmp_path / 'demo'}", TMPDIR=str(tmp_path), PORT=str(free_port()))
    yield launched
    launched.clean_up()


def page(line):
    url = re.search(r"http://\S+", line)
    assert url, line
    with urllib.request.urlopen(url[0], timeout=10) as answer:
        return answer.status, answer.headers["content-type"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shows_both_pages_and_a_signal_stops_everything(demo, number):
    assert page(demo.until("/link#"))[0] == 200
    demo.until("simulated phone")
    status, kind = page(demo.until("http://"))
    assert (status, kind.split(";")[0]) == (200, "text/html")
    demo.until("Ctrl-C")
    demo.process.send_signal(number)
    assert demo.end() == 0, demo.said
    demo.assert_all_gone()


def test_without_the_emulator_there_is_no_service(demo):
    demo.until("Ctrl-C")
    demo.named("-m emulator --state-dir").kill()
    assert demo.end() == 1
    assert "The emulator ended with exit code -9, so everything was stopped.\n" in demo.said
    demo.assert_all_gone()


def test_even_a_killed_demo_leaves_nothing(demo):
    demo.until("Ctrl-C")
    demo.process.kill()
    demo.process.wait()
    demo.assert_all_gone()
