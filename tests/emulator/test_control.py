"""The control port, the command line, the hook, the README."""

import ast
import asyncio
import contextlib
import inspect
import json
import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import httpx
import pytest

from app.local.redis import free_port
from emulator.client import Emulator, EmulatorError, running
from emulator.client_phone import Phone as ClientPhone
from emulator.readme import catalogue, ordinary_life

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_refuses_to_listen_beyond_loopback(host):
    command = [sys.executable, "-m", "emulator", "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.returncode == 2
    assert f"listens on loopback only, and {host} is not loopback" in done.stderr


async def test_it_answers_to_this_machine_only(emulator):
    url = f"http://127.0.0.1:{emulator.control_port}/healthz"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).status_code == 200
        assert (await http.get(url, headers={"Host": "evil.example"})).status_code == 403
        assert (await http.get(url, headers={"Origin": "https://evil.example"})).status_code == 403


def test_of_its_control_ports_it_takes_the_first_that_is_free():
    """Emulators that start together, as demos do, each get a port of their own, and none says a word of it."""
    ports = [str(free_port()) for _ in range(3)]
    command = [sys.executable, "-m", "emulator", "--control-port", *ports, "0"]
    with socket.create_server(("127.0.0.1", int(ports[0]))), contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, cwd=ROOT)) for _ in "123"
        ]
        ready = [json.loads(process.stdout.readline())["control_port"] for process in started]
        for process in started:
            process.terminate()
        assert [process.communicate(timeout=10)[1] for process in started] == ["", "", ""]
    assert len(set(ready)) == 3
    assert {int(port) for port in ports[1:]} < set(ready)


def test_nobody_else_can_reach_its_ports(emulator_process):
    others = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}
    for address in others:
        if address.startswith("127."):
            continue
        with pytest.raises(OSError):
            socket.create_connection((address, emulator_process["proxy_port"]), timeout=2)


async def test_without_a_service_there_is_only_the_phone(emulator):
    base = f"http://127.0.0.1:{emulator.control_port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        assert (await http.get("/")).headers["location"] == "/phone/"
        refused = await http.post("/demo/company")
        assert (refused.status_code, refused.json()) == (503, {"error": "there is no service here, only a phone"})
        assert (await http.get("/demo/screen")).status_code == 503
        assert (await http.get("/words/pt-PT")).json()["language"] == "pt-BR"


async def test_a_misspelt_fault_and_a_wrong_number_are_told(emulator):
    with pytest.raises(EmulatorError, match="fault"):
        await emulator.arm("code-refuzed")
    with pytest.raises(EmulatorError, match="no phone number"):
        await emulator.phone("12").devices()
    with pytest.raises(EmulatorError, match="no picture"):
        await emulator.phone("79000000001").scan(b"nothing")


async def test_waiting_ends_with_the_event_or_in_time(emulator, tag):
    with pytest.raises(TimeoutError, match=r"no device.connected within 0.1 s"):
        await emulator.wait_for("device.connected", tag=tag, seconds=0.1)


async def test_rules_are_listed_and_taken_back(emulator, tag):
    rule = await emulator.arm("qr-cut", tag=tag, times=None)
    assert [armed["id"] for armed in (await emulator.call("GET", "/rules", tag=tag))["rules"]] == [rule]
    await emulator.disarm(tag=tag)
    assert (await emulator.call("GET", "/rules", tag=tag))["rules"] == []


async def test_only_whatsapp_is_behind_the_proxy(emulator, tag):
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.proxy_port)
    writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
    assert b"502" in await reader.readline()
    writer.close()
    await writer.wait_closed()


BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Sec-Fetch-Site": "none"}


async def test_the_present_web_version_is_named_to_those_who_ask_as_a_browser_does(emulator, tag):
    await emulator.settings(tag, web_revision=1_050_000_007)
    proxy = emulator.client_env(tag=tag)["HTTPS_PROXY"]
    trust = ssl.create_default_context(cafile=emulator.ca_path)
    async with httpx.AsyncClient(proxy=proxy, verify=trust, trust_env=False) as web:
        page = await web.get("https://web.whatsapp.com", headers=BROWSER)
        script = await web.get("https://web.whatsapp.com/sw.js", headers=BROWSER)
        odd = await web.get("https://web.whatsapp.com/sw.js", headers={"User-Agent": "curl"})
        await emulator.arm("web-page-refused", tag=tag)
        armed = await web.get("https://web.whatsapp.com/", headers=BROWSER)
    assert '"client_revision":1050000007,' in page.text
    assert r"\"client_revision\":1050000007" in script.text
    assert (odd.status_code, armed.status_code) == (400, 400)
    assert [e.detail["page"] for e in await emulator.events(tag=tag) if e.kind == "web-page.served"] == ["/", "/sw.js"]


async def test_it_leaves_nothing_behind_and_ends_on_sigterm(tmp_path):
    emulator = await Emulator.launch(tmp_path / "state", life=0)
    await emulator.phone("79000000001").change(name="x")
    process = emulator._process
    await emulator.stop()
    assert process.returncode == 0
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "accounts",
        "authority.json",
        "ca-key.pem",
        "ca.pem",
        "tls.pem",
    ]


async def test_it_runs_in_this_event_loop_too(tmp_path):
    async with running(tmp_path) as emulator:
        assert await emulator.connections() == []


def test_the_hook_works_in_a_fork_that_loads_the_library_later():
    program = (
        "import os, sys\n"
        "assert 'ctypes' not in sys.modules and 'neonize' not in sys.modules\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    import pylibmagic, neonize._binder\n"
        "    key = bytes.fromhex(os.environ['WA_EMULATOR_ROOT_KEY'])\n"
        "    import ctypes\n"
        "    found = 0\n"
        "    for line in open('/proc/self/maps'):\n"
        "        part = line.split()\n"
        "        if 'w' in part[1] and len(part) > 5 and 'neonize-' in part[5]:\n"
        "            low, high = (int(x, 16) for x in part[0].split('-'))\n"
        "            found += key in ctypes.string_at(low, high - low)\n"
        "    os._exit(0 if found == 1 else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    environment = {"PYTHONPATH": str(ROOT / "emulator/hook"), "WA_EMULATOR_ROOT_KEY": "ab" * 32}
    subprocess.run([sys.executable, "-c", program], env=os.environ | environment, check=True, timeout=60)


def test_the_readme_calls_what_there_is_with_arguments_that_fit():
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "emulator/README.md").read_text(), re.DOTALL)
    kinds = {"emulator": Emulator, "Emulator": Emulator, "phone": ClientPhone}
    calls = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Call)]
    found = 0
    for call in calls:
        match call.func:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in kinds:
                method = getattr(kinds[owner], name)
            case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="phone")), attr=name):
                method = getattr(ClientPhone, name)
            case _:
                continue
        given = [None] * (len(call.args) + (not inspect.ismethod(method)))
        inspect.signature(method).bind(*given, **dict.fromkeys(one.arg for one in call.keywords))
        found += 1
    assert found >= 10


def test_the_readme_holds_the_catalogue_of_faults():
    text = (ROOT / "emulator/README.md").read_text()
    printed = re.search(r"<!-- faults -->\n(.*?)<!-- /faults -->", text, re.DOTALL)
    assert printed is not None
    assert printed[1] == catalogue(), "run: python -m emulator.readme"


def test_the_readme_holds_the_catalogue_of_ordinary_life():
    text = (ROOT / "emulator/README.md").read_text()
    printed = re.search(r"<!-- life -->\n(.*?)<!-- /life -->", text, re.DOTALL)
    assert printed is not None
    assert printed[1] == ordinary_life(), "run: python -m emulator.readme"
