"""A Heroku-style host for one test: fresh checkouts that vanish, the Procfile's lines, a PORT, SIGTERM and then 30 s."""

import asyncio
import datetime
import ipaddress
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.local.redis import find_binary, free_port
from tests.e2e.processes import Service, signal_all
from workers.report import memory_bytes, processes

ROOT = Path(__file__).resolve().parents[2]
DYNO_BYTES = 512 * 2**20
STOP_SECONDS = 30.0
WATCH_SECONDS = 0.5


def checkout(folder: Path) -> Path:
    """A fresh clone of what is committed."""
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    return folder


def procfile(folder: Path) -> dict[str, str]:
    """Its lines by name."""
    lines = (folder / "Procfile").read_text().splitlines()
    return {name.strip(): command.strip() for name, _, command in (line.partition(":") for line in lines if line)}


class Dyno:
    """One process of the Procfile, in its own checkout, with a limit; its memory is watched all the time."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.peak = 0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @classmethod
    async def start(cls, command: str, folder: Path, environment: dict[str, str], *, until: str) -> "Dyno":
        """Run the line as the host does: by a shell, in the checkout, with the environment and nothing else of ours."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "WA_TEST_RUN") if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            f"exec {command}",
            cwd=folder,
            env={**kept, "PATH": path, "DYNO": "test.1", **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=_limited,
        )
        service = Service(process, command)
        dyno = cls(service)
        await service.said(until, seconds=40)
        return dyno

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_SECONDS):
            self.peak = max(self.peak, memory_bytes(processes(self.service.pid)))

    async def restart_daily(self) -> tuple[int, float]:
        """SIGTERM to every process, as the host does once a day; the exit code and the seconds it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        process = psutil.Process(self.service.pid)
        signal_all([*process.children(recursive=True), process], signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            code = await self.service.ended()
        self._ended.set()
        return code, loop.time() - began


def _limited() -> None:
    """Data of no process may grow beyond the host's memory (the kernel counts private writable pages)."""
    resource.setrlimit(resource.RLIMIT_DATA, (DYNO_BYTES, DYNO_BYTES))


def certificate(folder: Path, host: str = "127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate for an address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "redis.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "redis.key").write_bytes(private)
    return folder / "redis.crt", folder / "redis.key"


@contextmanager
def tls_redis() -> Iterator[str | None]:
    """A Redis that speaks TLS only, with a self-signed certificate; its URL, or None when this one cannot."""
    folder = Path(tempfile.mkdtemp(prefix="tls-redis-"))
    crt, key = certificate(folder)
    port = free_port()
    process = subprocess.Popen(
        [
            str(find_binary()), "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1",
            "--tls-cert-file", str(crt), "--tls-key-file", str(key), "--tls-auth-clients", "no",
            "--requirepass", "p%40w-of-redis", "--save", "", "--dir", str(folder),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = any("Ready to accept connections" in line for line in iter(process.stdout.readline, ""))
        yield f"rediss://:p%2540w-of-redis@127.0.0.1:{port}/0" if ready else None
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        shutil.rmtree(folder)
