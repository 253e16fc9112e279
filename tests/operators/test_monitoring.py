"""Rules and dashboard name what is exposed, each alert fires when it should, and a real Prometheus takes all of it.

Rules, dashboard and metrics name each other, hence one file.
"""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from redis.asyncio import Redis

from app.cli.__main__ import main as onboarding
from app.local.redis import free_port
from app.ops import exposition
from app.ops.gauges import Moment, WorkerView
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.telemetry.metrics import BUCKETS, Counter, Histogram, Stage, field, funnel
from tests.e2e.processes import Service
from tests.operators.prometheus import DEPLOYED, ROOT, Prometheus

RULES = DEPLOYED / "rules.yml"
PLAYED = sorted(DEPLOYED.glob("*_test.yml"))
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
TARGETS: list[dict[str, str]] = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
API_KEY = "an-api-key-for-tests"

#: A service of which everything has been counted once.
COUNTED = {
    **{field(Counter.ATTEMPTS, method=method): 1 for method in ("qr", "code")},
    **{funnel(stage, "qr", "RU"): 1 for stage in Stage},
    **{f'{one.value}_bucket{{method="qr",le="{BUCKETS[one][0] / 1000:g}"}}': 1 for one in Histogram},
    **{f'{one.value}_ms{{method="qr"}}': 9 for one in Histogram},
    field(Counter.QR_SHOWN): 1,
    field(Counter.CODES_GENERATED, region="RU"): 1,
    field(Counter.CODE_SUCCESSES): 1,
    field(Counter.CODE_FAILURES, reason="whatsapp-rate-limited"): 1,
    field(Counter.QR_TO_CODE): 1,
    field(Counter.LINKED, method="qr", region="RU"): 1,
    field(Counter.VERIFIED, method="qr", region="RU"): 1,
    field(Counter.DROPPED): 1,
    field(Counter.FAILURES, code="client-outdated", region="RU"): 1,
    field(Counter.ENDINGS, state="failed"): 1,
    field(Counter.REFUSED, code="invalid-phone"): 1,
    field(Counter.SWEPT, kind="worker"): 1,
    field(Counter.UNANSWERED): 1,
    field(Counter.QR_REFRESHED): 1,
    field(Counter.JOB_FAILURES, job="unlink"): 1,
    field(Counter.WEBHOOKS, result="delivered", type="session.linked"): 1,
    field(Counter.API_WRITES, operation="create_link", key="key-1", status="201"): 1,
    field(Counter.API_REFUSED, reason="wrong"): 1,
    field(Counter.STREAM_ERRORS, code="516"): 1,
    field(Counter.ODD_VALUES): 1,
}
WORKER = {"version": "1", "engine": "1", "store": "ok", "memoryMB": "1", "processes": "1", "lagMs": "1"}


def exposed() -> set[str]:
    """The names of all series that /metrics can have."""
    worker = WorkerView(WorkerId("w-1-abcdef"), 0, WORKER)
    text = exposition.text(Moment(COUNTED, 0, 0, 0, 0, 0, [worker]), sockets=0, switches=["pause"]).decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def as_grafana_asks(expression: str) -> str:
    """With all variables at their default."""
    for variable in VARIABLES:
        expression = expression.replace(f"${variable['name']}", str(variable.get("allValue")))
    return expression.replace("$__rate_interval", "1m")


def test_everything_is_counted_here() -> None:
    assert {re.split(r"[{]", name)[0] for name in COUNTED} >= {one.value for one in Counter}


def test_every_metric_that_a_panel_or_an_alert_names_is_exposed_and_the_other_way_round() -> None:
    expressions = [*(one["expr"] for one in TARGETS), *(rule["expr"] for rule in rules())]
    expressions += [one["query"]["query"] for one in VARIABLES if one["type"] == "query"]
    expressions += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    named = {name for expr in expressions for name in re.findall(r"\bwa_\w+", expr)}
    assert named <= exposed(), named - exposed()
    silent = {name for name in exposed() if not name.endswith(("_count", "_sum"))} - named
    assert silent <= {
        "wa_attempts_total",
        "wa_qr_codes_shown_total",
        "wa_linked_total",
        "wa_attempts_running",
        "wa_other_jobs",
        "wa_leases",
        "wa_worker_processes",
        "wa_qr_secrets_refreshed_total",
    }


def as_grafana_has_it(dashboard: dict[str, Any]) -> Any:
    """The dashboard once Grafana's own types have read it. Raises ValueError for a word that is none of theirs."""
    register_default_plugins()  # the types of each panel's options
    read = Dashboard.from_json(copy.deepcopy(dashboard))
    check_words(read)
    return json.loads(JSONEncoder().encode(read))


def check_words(read: object) -> None:
    """The types take any word where they list some; this raises ValueError for one that is not in the list."""
    if isinstance(read, list | dict):
        for one in read.values() if isinstance(read, dict) else read:
            check_words(one)
    elif type(read).__module__.startswith("grafana_foundation_sdk"):
        for name, hint in get_type_hints(type(read)).items():
            value = getattr(read, name)
            words = [one for one in (hint, *get_args(hint)) if isinstance(one, type) and issubclass(one, Enum)]
            if value is not None and words:
                words[0](value)
            check_words(value)


def unread(given: Any, taken: Any, at: str = "") -> Iterator[str]:
    """Where Grafana has something else than what was given: a field that it does not know, most of the time."""
    if isinstance(given, dict) and isinstance(taken, dict):
        for name, value in given.items():
            yield from unread(value, taken.get(name), f"{at}/{name}")
    elif isinstance(given, list) and isinstance(taken, list) and len(given) == len(taken):
        for index, (one, other) in enumerate(zip(given, taken, strict=True)):
            yield from unread(one, other, f"{at}/{index}")
    elif given != taken:
        yield at


#: An annotation may have fields of its data source; this is Prometheus'.
OF_PROMETHEUS = "/annotations/list/0/titleFormat"


def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    assert list(unread(DASHBOARD, as_grafana_has_it(DASHBOARD))) == [OF_PROMETHEUS]


@pytest.mark.parametrize("name", ["gridPos", "fieldConfig", "options", "targets", "datasource"])
def test_grafanas_own_types_do_not_know_what_is_misspelt(name: str) -> None:
    dashboard = copy.deepcopy(DASHBOARD)
    panel = dashboard["panels"][0]
    panel[f"{name}s"] = panel.pop(name)
    assert f"/panels/0/{name}s" in list(unread(dashboard, as_grafana_has_it(dashboard)))


def test_grafanas_own_types_refuse_a_value_that_is_none_of_theirs() -> None:
    dashboard = copy.deepcopy(DASHBOARD)
    panel = next(one for one in dashboard["panels"] if one["type"] == "timeseries")
    panel["options"]["legend"]["displayMode"] = "tabel"
    with pytest.raises(ValueError, match="tabel"):
        as_grafana_has_it(dashboard)


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    assert DASHBOARD["uid"]
    assert DASHBOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in DASHBOARD["panels"]]
    assert len(places) == len(set(places))
    assert [one["query"] for one in VARIABLES if one["type"] == "datasource"] == ["prometheus"]
    source = {"type": "prometheus", "uid": "${datasource}"}
    questions = [*DASHBOARD["panels"], *(one for one in VARIABLES if one["type"] == "query")]
    assert all(one["datasource"] == source for one in [*questions, *DASHBOARD["annotations"]["list"]])
    known = {one["name"] for one in VARIABLES} | {"__rate_interval"}
    used = {name for one in TARGETS for name in re.findall(r"\$\{?(\w+)", one["expr"])}
    assert used <= known, used - known
    for panel in DASHBOARD["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["title"]
        assert [target["refId"] for target in panel["targets"]] == [
            chr(65 + index) for index in range(len(panel["targets"]))
        ]


def test_every_alert_says_what_is_wrong_and_a_command_to_look_with() -> None:
    for rule in (rule for rule in rules() if "alert" in rule):
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
        program, *words = rule["annotations"]["look"].split()
        if program != "curl":
            assert program == "onboarding"
            _parse(onboarding, words)


def test_the_alerts_that_the_documents_name_exist() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("deploy.md", "operations.md", "game-day.md"))
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text)) - {"MemoryMax"}  # systemd's
    assert named
    assert named <= {rule.get("alert") for rule in rules()}


def _parse(command: click.Command, words: list[str]) -> None:
    """Raises click's UsageError for words that the command does not understand."""
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    command.make_context(command.name, words)


def test_promtool_takes_the_rules_and_plays_each_alert() -> None:
    promtool = _tool("promtool")
    for command in (["check", "rules", str(RULES)], ["test", "rules", *map(str, PLAYED)]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_played_quiet_and_firing() -> None:
    tests = [test for file in PLAYED for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [one for test in tests for one in test.get("alert_rule_test", [])]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {one["alertname"] for one in cases if one["exp_alerts"]} == alerts
    assert {one["alertname"] for one in cases if not one["exp_alerts"]} == alerts


@pytest.fixture
async def web(redis_server: str) -> AsyncIterator[str]:
    """The address of a web process whose Redis knows of everything that can be told."""
    redis = Redis.from_url(redis_server)
    await redis.hset(keys.STATS, mapping=COUNTED)
    await redis.hset(keys.SWITCH, "pause", "on")
    await redis.zadd(keys.WORKERS, {"w-1-abcdef": now_ms() + 600_000})
    await redis.hset(keys.worker(WorkerId("w-1-abcdef")), mapping=WORKER)
    await redis.aclose()
    port = free_port()
    environment = {"REDIS_URL": redis_server, "HOST": "127.0.0.1", "PORT": str(port), "API_KEYS": API_KEY}
    service = await Service.start("app.main", environment | {"SECRET_KEY": "s" * 32}, until="web.started")
    yield f"127.0.0.1:{port}"
    await service.stop()


async def test_a_real_prometheus_scrapes_web_takes_the_rules_and_answers_every_panel(web: str, tmp_path: Path) -> None:
    _tool("prometheus")
    async with Prometheus.running(tmp_path, web, API_KEY) as prometheus:
        await prometheus.scraped(3)
        taken = await prometheus.rules()
        assert len(taken) == len(rules())
        assert [(one["name"], one["lastError"]) for one in taken if one["health"] != "ok"] == []
        for target in TARGETS:
            series = await prometheus.series(as_grafana_asks(target["expr"]))
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert all(wanted <= set(one) for one in series), (target, series)
        for annotation in DASHBOARD["annotations"]["list"]:
            await prometheus.series(annotation["expr"])
        for variable in (one for one in VARIABLES if one["type"] == "query"):
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert asked is not None, variable
            assert await prometheus.ask(f"label/{asked[2]}/values", **{"match[]": asked[1]})


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NO {name} on this machine (Debian: prometheus)")
    return found
