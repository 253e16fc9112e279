"""Environment of a process that talks to the emulator instead of WhatsApp; read before the process starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

HOOK_DIRECTORY = Path(__file__).parent / "hook"
ROOT_KEY_VARIABLE = "WA_EMULATOR_ROOT_KEY"
"""Read by hook/sitecustomize.py: the 32 byte root key in hex that replaces the one compiled into the client."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The address of the emulator and what clients must trust (`client_env` takes these); what happens by itself, and from
    which seed."""

    proxy_port: int
    control_port: int
    ca_path: str
    root_key: str
    life: float
    seed: int


def client_env(
    *, proxy_port: int, ca_path: str | Path, root_key: str, tag: str = "", python_path: str = ""
) -> dict[str, str]:
    """The variables to add to the environment of a process before it starts.

    `tag` names the group that the process belongs to: rules and settings armed for a tag touch no other group. `python_path`
    is what PYTHONPATH holds already; it is kept behind the hook's directory. Go reads the environment once, when the process
    starts: setting these later has no effect. The trust store holds only the emulator's authority, so such a process cannot
    reach the real WhatsApp by mistake.
    """
    login = f"{quote(tag, safe='')}:x@" if tag else ""
    proxy = f"http://{login}127.0.0.1:{proxy_port}"
    return {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "",
        "no_proxy": "",
        "SSL_CERT_FILE": str(ca_path),
        "SSL_CERT_DIR": f"{ca_path}.none",  # Go reads the system's folder beside any file
        ROOT_KEY_VARIABLE: root_key,
        "PYTHONPATH": f"{HOOK_DIRECTORY}:{python_path}" if python_path else str(HOOK_DIRECTORY),
    }
