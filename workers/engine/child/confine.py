"""Confines an engine process: it parses bytes from WhatsApp's side, so it gets as little as it needs.

`confine` comes right after the fork, while there is one thread: files, ports, signals, core dumps. `seal` comes when the
library is loaded and warm, and holds every thread: no listening, no other program, no look into another process, no Unix
socket. If the kernel cannot do that, the process runs unconfined and says so to `doctor` (docs/security.md).
"""

import os
import resource
import socket
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from workers.engine.child.kernel import NotHeld, drop_capabilities, landlock, no_new_privileges, seccomp
from workers.engine.orders import Options, Role

_ROOT = Path(__file__).resolve().parents[3]
_FILE_BYTES = 2 << 30
"""No device file comes near it."""
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/nix/store", "/proc", "/sys", "/dev/urandom", "/dev/random",
    "/dev/zero", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd", "/var/lib/ca-certificates",
)  # fmt: skip
"""Files that Python, Go and libc read: libraries, names, certificates, time zones, the state of the machine."""
_ETC = (
    "ssl", "pki", "ca-certificates", "crypto-policies", "resolv.conf", "hosts", "host.conf", "nsswitch.conf", "gai.conf",
    "services", "protocols", "localtime", "timezone", "passwd", "group", "os-release", "ld.so.cache", "ld.so.preload",
)  # fmt: skip
"""The part of /etc that they read, where other services keep their settings, and perhaps ours."""
_FROM_ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "LD_PRELOAD")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_TLS, _DNS = 443, 53
_held: list[str] = []
_warming: list[socket.socket] = []
_has_postgres = False


def confine(role: Role, options: Options) -> None:
    """Hold this process to its folder, and to the ports of WhatsApp and the proxy; with Postgres a holder may dial any."""
    global _has_postgres  # noqa: PLW0603 - of a process that has just been forked
    for limit, most in ((resource.RLIMIT_CORE, 1), (resource.RLIMIT_FSIZE, _FILE_BYTES)):
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))  # a core of one byte: none, not even through a pipe
    folders = {Role.LINKER: options.linking, Role.HOLDER: options.devices}[role]
    for step in (no_new_privileges, drop_capabilities):
        with suppress(NotHeld):
            step()
    _has_postgres = role is Role.HOLDER and not folders
    if folders is None:
        return
    if folders:
        os.environ["SQLITE_TMPDIR"] = os.environ["TMPDIR"] = folders[0]
    dial = {_TLS, _DNS, *_proxy_ports(options.proxy_url)}
    if role is Role.LINKER:
        _warming.append(socket.create_server(("127.0.0.1", 0)))
        dial.add(_warming[0].getsockname()[1])
    with suppress(NotHeld):
        version = landlock(_readable(options), (*folders, "/dev/null"), None if _has_postgres else dial)
        _held.append(f"landlock {version}")


def _proxy_ports(proxy: str | None) -> set[int]:
    """Ports of the proxies that the library may take."""
    found = set()
    for url in filter(None, (proxy, *map(os.environ.get, _PROXIES))):
        with suppress(ValueError):  # nobody can use it
            parts = urlsplit(url if "://" in url else f"http://{url}")
            found.add(parts.port or _PORTS.get(parts.scheme, _TLS))
    return found


def _readable(options: Options) -> tuple[str, ...]:
    """Code and certificates, but not the folder that they lie in: there are settings and other people's keys beside them."""
    code = [sys.prefix, sys.base_prefix, str(_ROOT / "workers"), str(_ROOT / "shared")]
    imports = [path for path in sys.path if path and Path(path).resolve() != _ROOT]
    named = [part for name in _FROM_ENVIRONMENT for part in os.environ.get(name, "").split(":")]
    library = [str(Path(options.library).parent)] if options.library else []
    etc = [f"/etc/{name}" for name in _ETC]
    paths = dict.fromkeys((*_SYSTEM, *etc, *code, *imports, *named, *library, *options.reads))
    return tuple(path for path in paths if path and os.path.exists(path))  # noqa: PTH110 - false also for what may not be seen


def warming_socket() -> socket.socket:
    """A socket on a port of loopback that this process may dial, and that nobody uses yet."""
    return _warming.pop() if _warming else socket.create_server(("127.0.0.1", 0))


def seal() -> str:
    """Refuse what an engine process has no use for from now on. Returns what holds it, such as `landlock 6, seccomp`."""
    with suppress(NotHeld):
        seccomp(unix=_has_postgres)
        _held.append("seccomp")
    return ", ".join(_held)
