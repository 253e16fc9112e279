"""Puts the parts together and listens: the proxy for clients, the control port for tests and people. Loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn.server

from emulator.control.routes import control_app
from emulator.environment import Ready
from emulator.life import LIFE_RATE, Course, any_seed
from emulator.phone.living import Phones
from emulator.rules import Chaos, Rules
from emulator.server.proxy import Proxy
from emulator.server.state import State
from emulator.server.world import World
from emulator.wire.certs import tls_context
from emulator.wire.words import load_words

_BACKLOG = 2048


class NotLoopback(ValueError):
    """Somebody wanted to listen where others could reach it."""


@dataclass(frozen=True, slots=True)
class Options:
    """Port 0 means any free one; of `control_ports` the first that is free is taken. `chaos` is the share (0 to 1) of
    occasions at which something goes wrong by itself, `life` of those at which something ordinary happens. `service`:
    see control.stage.Stage."""

    state_directory: Path
    host: str = "127.0.0.1"
    proxy_port: int = 0
    control_ports: Sequence[int] = (0,)
    chaos: float = 0.0
    life: float = LIFE_RATE
    seed: int = field(default_factory=any_seed)
    service: Path | None = None


def require_loopback(host: str) -> None:
    """Raises NotLoopback unless `host` can only be reached from this machine."""
    if host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise NotLoopback(
        f"the emulator listens on loopback only, and {host} is not loopback: it pairs anybody with anything"
    )


def _listen(host: str, ports: Sequence[int]) -> socket.socket:
    """Listens at the first of `ports` that is free. Raises OSError when none is."""
    for port in ports[:-1]:
        with contextlib.suppress(OSError):
            return _listen_at(host, port)
    return _listen_at(host, ports[-1])


def _listen_at(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off; without, answers wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class _ControlServer(uvicorn.server.Server):
    """uvicorn without its own signal handlers: whoever runs the emulator decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(options: Options) -> AsyncIterator[Ready]:
    """Runs the emulator in this event loop while the block runs. Raises NotLoopback, OSError (port taken), WordsNotFound."""
    require_loopback(options.host)
    options.state_directory.mkdir(parents=True, exist_ok=True)
    tls, ca_path = tls_context(options.state_directory)
    state = State(options.state_directory)
    world = World(load_words(), state, Rules(Chaos(options.chaos, options.seed)))
    world.phones = talk = Phones(world)
    world.course = Course(options.life, options.seed)
    proxy = Proxy(world, tls)
    with (
        _listen(options.host, [options.proxy_port]) as proxy_socket,
        _listen(options.host, options.control_ports) as control_socket,
    ):
        ready = Ready(
            proxy_socket.getsockname()[1],
            control_socket.getsockname()[1],
            str(ca_path.resolve()),
            state.authority.root.public.hex(),
            options.life,
            options.seed,
        )
        config = uvicorn.Config(
            control_app(world, talk, ready, options.service),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,  # longer than a client keeps an idle connection: no request meets its end
        )
        control = _ControlServer(config)
        control_task = asyncio.create_task(control.serve(sockets=[control_socket]))
        server = await asyncio.start_server(proxy.accept, sock=proxy_socket)
        try:
            yield ready
        finally:
            server.close()
            await proxy.stop()
            world.events.close()
            control.should_exit = True
            await control_task
