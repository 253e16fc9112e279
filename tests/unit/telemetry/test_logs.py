"""One JSON object a line, whoever logs it, without a secret in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, structlog
from shared import settings
from shared.telemetry import logs
logs.configure(settings.Settings(secret_key="k" * 40, api_keys=("a" * 16,), log_format=FORMAT, log_level="info"), "web")

class Thing:
    def __repr__(self):
        return "Thing(+79001234567)"

log = structlog.get_logger()
log.debug("never.seen")
log.info("contact.named", name="\\x1b]0;x\\x9b31m\\u202e\\r\\n")
log.info("attempt.linked", session="company_1", worker="ip-10-0-12-123-4242-123456", ms=1795353404406, took=1.5)
log.warning("phone.told", phone="+79001234567", nested={"code": ["ABCD-EFGH"]}, thing=Thing(), error=ValueError("8 (900) 123-45-67"))
logging.getLogger("library").warning("called %s for 79001234567@s.whatsapp.net", "https://u:hunter2@x.example/")
logging.getLogger("arq.worker").info("link('+79001234567')")
try:
    raise RuntimeError("no such phone: +79001234567.")
except RuntimeError as error:
    log.error("operation.crashed", exc_info=error)
    logging.getLogger("library").exception("crashed")
"""


def logged(form):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("FORMAT", repr(form))],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert ran.stderr == ""
    return ran.stdout


def test_every_line_is_one_json_object_with_its_time_level_and_component():
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [line["event"] for line in lines][:2] == ["contact.named", "attempt.linked"]
    assert len(lines) == 6
    for line in lines:
        assert line["timestamp"].startswith("20")
        assert line["timestamp"].endswith("Z")
        assert line["level"] in {"info", "warning", "error"}
        assert line["component"] == "web"
    assert lines[1] | {"timestamp": ""} == {
        "event": "attempt.linked",
        "session": "company_1",
        "worker": "ip-10-0-12-123-4242-123456",
        "ms": 1795353404406,
        "took": 1.5,
        "level": "info",
        "component": "web",
        "timestamp": "",
    }
    assert "RuntimeError" in lines[4]["exception"]


def test_a_line_steers_no_terminal():
    said = logged("json")
    assert json.loads(said.splitlines()[0])["name"] == "\x1b]0;x\x9b31m\u202e\r\n"
    assert not set("\x1b\x9b\u202e\r") & set(said)


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_tells_a_secret(form):
    said = logged(form)
    for secret in ("9001234567", "123-45-67", "ABCD-EFGH", "hunter2"):
        assert secret not in said
    assert "[hidden]" in said
