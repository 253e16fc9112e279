"""The files for hosts, Prometheus and Grafana load, and name only what exists."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from app import exposition
from app.gauges import Moment, WorkerView
from docs.generate.environment import page
from shared.ids import WorkerId
from shared.metrics import BUCKETS, Counter, Histogram, field
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
KNOWN = {name.upper() for name in Settings.model_fields}


def exposed() -> set[str]:
    """The names of all series that /metrics can have."""
    stats = {field(one): 1 for one in Counter}
    for one in Histogram:
        stats |= {
            f'{one.value}_bucket{{method="qr",le="{BUCKETS[one][0] / 1000:g}"}}': 1,
            f'{one.value}_ms{{method="qr"}}': 9,
        }
    worker = WorkerView(WorkerId("w-1-abcdef"), 0, {"version": "1", "memoryMB": "1"})
    text = exposition.text(Moment(stats, 0, 0, 0, 0, 0, [worker]), sockets=0, switches=["pause"]).decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in rules)]


def test_every_metric_that_a_panel_or_an_alert_names_is_exposed_and_the_other_way_round() -> None:
    named = {name for expr in expressions() for name in re.findall(r"\bwa_\w+", expr)}
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


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"]
    assert dashboard["schemaVersion"] >= 36
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in dashboard["panels"]]
    assert len(places) == len(set(places))
    for panel in dashboard["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["title"]
        assert [target["refId"] for target in panel["targets"]] == [
            chr(65 + index) for index in range(len(panel["targets"]))
        ]


def test_every_alert_says_what_is_wrong_and_where_to_look() -> None:
    for rule in (rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]):
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"].endswith(".")
            assert rule["annotations"]["look"].startswith(("onboarding ", "curl "))


def test_promtool_takes_the_rules_and_the_panels(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("NO promtool on this machine (Debian: prometheus)")
    panels = [re.sub(r"\$__rate_interval", "5m", one) for one in expressions()]
    rules = [{"record": f"panel:{index}", "expr": expr} for index, expr in enumerate(panels)]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    for file in (RULES, tmp_path / "panels.yml"):
        done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_hosts_files_name_settings_and_commands_that_exist() -> None:
    heroku = json.loads((ROOT / "app.json").read_text())
    assert set(heroku["env"]) <= KNOWN
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert set(heroku["formation"]) == set(lines) - {"release"}
    assert {f"{one['as']}_URL" for one in heroku["addons"]} == {"REDIS_URL", "DATABASE_URL"}
    assert (ROOT / "Aptfile").read_text().split() == ["pgbouncer"]

    render = yaml.safe_load((ROOT / "render.yaml").read_text())
    run = {one["type"]: one for one in render["services"]}
    assert run["web"]["startCommand"] == lines["web"]
    assert run["worker"]["startCommand"] == lines["worker"]
    assert run["web"]["preDeployCommand"] == lines["release"]
    assert {one["key"] for one in render["envVarGroups"][0]["envVars"]} <= KNOWN

    compose = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())
    for name in ("release", "web", "worker"):
        assert compose["services"][name]["command"] == lines[name]
        assert set(compose["services"][name]["environment"]) <= KNOWN
        assert compose["services"][name]["stop_grace_period"] == "30s"
    for unit, name in (("onboarding-web.service", "web"), ("onboarding-worker@.service", "worker")):
        text = (ROOT / "deploy" / "systemd" / unit).read_text()
        assert f"ExecStart=/srv/onboarding/.venv/bin/{lines[name]}" in text
        assert "TimeoutStopSec=30" in text
    example = (ROOT / "deploy" / "systemd" / "onboarding.env.example").read_text()
    assert set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) <= KNOWN
    copied = re.findall(r"^COPY ([\w.]+) ", (ROOT / "deploy" / "compose" / "Dockerfile").read_text(), re.MULTILINE)
    assert all((ROOT / one).exists() for one in copied)
    assert all(name in page() for name in heroku["env"])
