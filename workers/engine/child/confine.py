"""Holds an engine process to its own: it parses bytes from WhatsApp's side, so it gets as little as it needs.

`confine` comes right after the fork, while there is one thread: files, ports, signals, core dumps. `seal` comes when the
library is loaded and warm, and holds every thread: no listening, no other program, no look into another process. Where a
kernel cannot, the process runs all the same, and says so: `doctor` tells it (docs/security.md).
"""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from workers.engine.child.kernel import (
    NotHeld,
    Reach,
    drop_capabilities,
    existing,
    landlock,
    no_new_privileges,
    seccomp,
)
from workers.engine.orders import Options, Role

_ROOT = Path(__file__).resolve().parents[3]
_FILE_BYTES = 2 << 30
"""No device file comes near it."""
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc", "/nix/store", "/proc", "/sys", "/dev/urandom", "/dev/random",
    "/dev/zero", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd", "/var/lib/ca-certificates",
)  # fmt: skip
"""Files that Python, Go and libc read: libraries, names, certificates, time zones, the state of the machine."""
_FROM_ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "LD_PRELOAD")
_held: list[str] = []


def confine(role: Role, options: Options) -> None:
    """Hold this process to its folder."""
    for limit, most in ((resource.RLIMIT_CORE, 1), (resource.RLIMIT_FSIZE, _FILE_BYTES)):
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))  # a core of one byte: none, not even through a pipe
    folders = {Role.LINKER: options.linking, Role.HOLDER: options.devices}[role]
    for step in (no_new_privileges, drop_capabilities):
        with suppress(NotHeld):
            step()
    if folders is None:
        return
    if folders:
        os.environ["SQLITE_TMPDIR"] = os.environ["TMPDIR"] = folders[0]
    reach = Reach(_readable(options), (*folders, "/dev/null"), any_port=role is Role.LINKER)
    with suppress(NotHeld):
        _held.append(f"landlock {landlock(reach)}")


def _readable(options: Options) -> tuple[str, ...]:
    """Code and certificates, but not the folder that they lie in: there are settings and other people's keys beside them."""
    code = [sys.prefix, sys.base_prefix, str(_ROOT / "workers"), str(_ROOT / "shared")]
    imports = [path for path in sys.path if path and Path(path).resolve() != _ROOT]
    named = [part for name in _FROM_ENVIRONMENT for part in os.environ.get(name, "").split(":")]
    library = [str(Path(options.library).parent)] if options.library else []
    return existing([*_SYSTEM, *code, *imports, *named, *library, *options.reads])


def seal() -> str:
    """Refuse what an engine process has no use for from now on. Returns what holds it, such as `landlock 6, seccomp`."""
    with suppress(NotHeld):
        seccomp()
        _held.append("seccomp")
    return ", ".join(_held)
