"""The files for hosts load, name only what exists, and are taken by the tools that read them, where those are here."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate.environment import page
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
DOCKERFILE = ROOT / "deploy" / "compose" / "Dockerfile"
SYSTEMD = ROOT / "deploy" / "systemd"
KNOWN = {name.upper() for name in Settings.model_fields}
LINES = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
SECRETS = {"SECRET_KEY": "s" * 32, "API_KEYS": "k" * 16, "PUBLIC_URL": "https://onboarding.example"}


def run(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_herokus_files_name_settings_and_commands_that_exist() -> None:
    heroku = json.loads((ROOT / "app.json").read_text())
    assert set(heroku["env"]) <= KNOWN
    assert all(name in page() for name in heroku["env"])
    assert set(heroku["formation"]) == set(LINES) - {"release"}
    assert {f"{one['as']}_URL" for one in heroku["addons"]} == {"REDIS_URL", "DATABASE_URL"}
    assert (ROOT / "Aptfile").read_text().split() == ["pgbouncer"]


def test_render_asks_each_value_once_and_gives_both_services_the_same() -> None:
    render = yaml.safe_load((ROOT / "render.yaml").read_text())
    run = {one["type"]: one for one in render["services"]}
    assert run["web"]["dockerCommand"] == LINES["web"]
    assert run["web"]["preDeployCommand"] == LINES["release"]
    assert run["worker"]["dockerCommand"] == LINES["worker"]
    for name in ("web", "worker"):
        assert (ROOT / run[name]["dockerfilePath"]).resolve() == DOCKERFILE
    (group,) = render["envVarGroups"]
    assert all("sync" not in one for one in group["envVars"])  # Render asks for a service's values only
    given = {name: {one["key"]: one for one in run[name]["envVars"] if "key" in one} for name in ("web", "worker")}
    assert given["web"].keys() == given["worker"].keys()
    assert given["web"].keys() | {one["key"] for one in group["envVars"]} <= KNOWN
    for name, one in given["web"].items():
        if one.get("sync") is False:
            taken = {"type": "web", "name": run["web"]["name"], "envVarKey": name}
            assert given["worker"][name]["fromService"] == taken
    names = {one["name"] for one in [*render["services"], *render["databases"]]}
    sources = [one[kind] for one in given["worker"].values() for kind in ("fromService", "fromDatabase") if kind in one]
    assert {one["name"] for one in sources} <= names


def test_compose_runs_the_procfiles_lines_on_loopback() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name in ("release", "web", "worker"):
        assert services[name]["command"] == LINES[name]
        assert services[name]["env_file"] == ".env"
        assert set(services[name]["environment"]) <= {"REDIS_URL", "DATABASE_URL", "PORT"}
        assert services[name]["stop_grace_period"] == "30s"
    published = [port for one in services.values() for port in one.get("ports", [])]
    assert published == ["127.0.0.1:8000:8000"]


def test_compose_takes_its_file_and_insists_on_a_password(tmp_path: Path) -> None:
    """By the real tool, on a copy with an .env; the settings get into the containers."""
    tool = _compose()
    folder = tmp_path / "deploy" / "compose"
    shutil.copytree(COMPOSE.parent, folder)
    command = (*tool, "-f", str(folder / "compose.yaml"), "config")
    environment = {name: value for name, value in os.environ.items() if name not in {*KNOWN, "POSTGRES_PASSWORD"}}
    settings = "".join(f"{name}={value}\n" for name, value in SECRETS.items())
    (folder / ".env").write_text(settings)
    without = run(*command, env=environment)
    assert without.returncode != 0
    assert "put it into the file .env" in without.stderr
    (folder / ".env").write_text(settings + "POSTGRES_PASSWORD=pw\n")
    done = run(*command, env=environment)
    assert done.returncode == 0, done.stderr
    worker = yaml.safe_load(done.stdout)["services"]["worker"]["environment"]
    assert SECRETS.items() <= worker.items()
    assert "onboarding:pw@postgres" in worker["DATABASE_URL"]


def _compose() -> list[str]:
    if shutil.which("docker") and run("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("NO docker compose on this machine: its file was only read as YAML")


def test_the_image_has_all_that_runs(tmp_path: Path) -> None:
    """What the Dockerfile copies is enough for every process: they are loaded from a folder with nothing else in it."""
    copied = re.findall(r"^COPY ((?:[\w.]+ )+)", DOCKERFILE.read_text(), re.MULTILINE)
    for name in (name for names in copied for name in names.split()):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    modules = [
        "app.main",
        "app.release",
        "app.cli.__main__",
        "workers.main",
        "workers.store.release",
        "workers.store.move",
    ]
    modules += [
        f"{one.relative_to(ROOT).with_suffix('')}".replace("/", ".") for one in (ROOT / "workers").rglob("[!_]*.py")
    ]
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    loaded = run(sys.executable, "-c", code, cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    # Settings are read, the page is found, and then only Redis is missing.
    environment = {"PATH": os.environ["PATH"], "REDIS_URL": "redis://127.0.0.1:1/0", "DATA_DIR": str(tmp_path / "data")}
    release = run(sys.executable, *LINES["release"].split()[1:], cwd=tmp_path, env=environment | SECRETS)
    errors = [line for line in release.stdout.splitlines() if line.startswith("error")]
    assert len(errors) == 1, release.stdout + release.stderr
    assert "Redis cannot be reached" in errors[0]


UNITS = {
    "onboarding-web.service": "web",
    "onboarding-worker@.service": "worker",
    "onboarding-release.service": "release",
}


def test_every_unit_runs_a_line_of_the_procfile_and_keeps_what_it_writes_to_itself() -> None:
    assert {one.name for one in SYSTEMD.glob("*.service")} == set(UNITS)
    for unit, name in UNITS.items():
        lines = (SYSTEMD / unit).read_text().splitlines()
        assert f"ExecStart=/srv/onboarding/.venv/bin/{LINES[name]}" in lines
        assert "UMask=0077" in lines
        assert ("StateDirectory=onboarding" in lines) == ("StateDirectoryMode=0700" in lines)
        assert name == "release" or "TimeoutStopSec=30" in lines
        # A service that restarts must not wait for what it does not need.
        assert not [line for line in lines if line.startswith("ExecStartPre")]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("NO systemd-analyze on this machine (Debian: systemd)")
    text = (SYSTEMD / unit).read_text()
    # The one thing that this machine cannot have: the program where the service is installed.
    (tmp_path / unit).write_text(text.replace("/srv/onboarding/.venv/bin/python", "/bin/true"))
    done = run(tool, "verify", "--man=no", str(tmp_path / unit.replace("@.", "@1.")))
    ours = [line for line in done.stderr.splitlines() if "onboarding" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_example_of_an_environment_is_refused_until_it_is_filled_in(tmp_path: Path) -> None:
    example = (SYSTEMD / "onboarding.env.example").read_text()
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert set(settings) <= KNOWN
    refused = run(sys.executable, "-m", "app.release", cwd=ROOT, env={"PATH": os.environ["PATH"], **settings})
    assert refused.returncode == 2
    for name in ("SECRET_KEY", "API_KEYS"):
        assert f"{name} is missing" in refused.stderr
    filled = {"PATH": os.environ["PATH"], **settings, **SECRETS, "DATA_DIR": str(tmp_path)}
    taken = run(sys.executable, "-m", "app.release", cwd=ROOT, env=filled | {"REDIS_URL": "redis://127.0.0.1:1/0"})
    assert taken.returncode == 1, taken.stderr
    assert "links begin with https://onboarding.example" in taken.stdout
