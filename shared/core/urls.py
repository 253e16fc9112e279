"""URLs as hosts hand them out: taken apart once, with one sentence for each that nobody can use.

No sentence quotes its URL, which may hold a password.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ESCAPE = "special characters of a password have to be percent-encoded (`#` is %23, `/` is %2F, `?` is %3F, `@` is %40, `[` is %5B)"
_ALIASES = {
    "valkey": "redis",
    "valkeys": "rediss",
    "redis-sentinel": "redis+sentinel",
    "rediss-sentinel": "rediss+sentinel",
    "sentinel": "redis+sentinel",
    "sentinels": "rediss+sentinel",
}
"""Schemes by which some hosts and clients write the same."""
REDIS_PORT, SENTINEL_PORT = 6379, 26379
_NO = frozenset({"", "0", "false", "no", "off", "none", "cert_none", "disable"})
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Parameters that name a file: whom to trust, our own certificate, and its key."""
_TLS = frozenset({*FILES, "ssl_cert_reqs", "ssl_check_hostname"})


def is_file(path: str | Path) -> bool:
    """True if a file is there: false as well for a name that no file can have, and where nobody may look."""
    return os.path.isfile(path)  # noqa: PTH113  (pathlib raises for those)


def split(url: str) -> SplitResult:
    """The parts of a URL. Raises ValueError with a sentence for one that a password has torn apart."""
    try:
        parts = urlsplit(url.strip())
        several = "," in parts.netloc.rpartition("@")[2]
        _ = several or parts.port
    except ValueError:
        raise ValueError(f"has a port that is no number; {ESCAPE}") from None
    if several:
        raise ValueError("names several hosts: write the one that takes writes")
    if parts.fragment or url.rstrip().endswith("#"):
        raise ValueError(f"has a `#` in it; {ESCAPE}")
    return parts


@dataclass(frozen=True)
class RedisPlace:
    """A Redis server and the way to log in to it.

    `hosts` are the sentinels if `service` names one, else the one server. `socket` is the path of a Unix socket. With
    `verified` the certificate has to be signed by somebody whom we trust, with `checks_name` also to name the host.
    `files` are those of `FILES` that the URL names.
    """

    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    verified: bool = True
    checks_name: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    socket: str | None = None
    service: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def redis_place(url: str) -> RedisPlace:
    """The Redis that a URL means; raises ValueError with a sentence.

    `redis://`, `rediss://` and `unix://` name a server; `redis+sentinel://host,host/service/0` names sentinels. Of the
    query the database, the login and TLS are read. Other parameters tune other clients and are passed over, but none of
    TLS: a connection must not be less safe than its URL says.
    """
    scheme, _, rest = url.strip().partition("://")
    kind, _, how = _ALIASES.get(scheme.lower(), scheme.lower()).partition("+")
    if kind not in {"redis", "rediss", "unix"} or how not in {"", "sentinel"} or (kind == "unix" and how):
        raise ValueError("must begin with redis://, rediss://, redis+sentinel:// or unix://")
    parts, hosts = _hosts(kind, rest, SENTINEL_PORT if how else REDIS_PORT)
    if len(hosts) > 1 and not how:
        raise ValueError("names several hosts: only redis+sentinel:// may, and a Redis Cluster is not supported")
    query = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    socket, service, path = None, None, unquote(parts.path)
    database = query.get("db") or query.get("database", "")
    if kind == "unix":
        socket = path
        if not path.strip("/"):
            raise ValueError("names no socket, as unix:///run/redis.sock does")
    else:
        path = path.strip("/")
        if how:
            service = query.get("service_name") or query.get("master_name")
            if not service:
                service, _, path = path.partition("/")
            if not service:
                raise ValueError("names no service, as redis+sentinel://host:26379,host:26379/service/0 does")
        database = database or path
    if database and not database.isdecimal():
        raise ValueError(f"names a database that is no number; {ESCAPE}")
    for name in query:
        if name.startswith("ssl_") and name not in _TLS:
            raise ValueError(f"says {name}, which is not supported; of TLS there are {', '.join(sorted(_TLS))}")
    files = {name: query[name] for name in FILES if query.get(name)}
    for name, file in files.items():
        if not is_file(file):
            raise ValueError(f"names a file by {name} that is not there")
    return RedisPlace(
        hosts=hosts,
        database=int(database or 0),
        username=unquote(parts.username or "") or query.get("username") or None,
        password=unquote(parts.password or "") or query.get("password") or None,
        tls=kind == "rediss" or any(query.get(name, "").lower() not in _NO for name in ("ssl", "tls")),
        verified=(query.get("ssl_cert_reqs") or "required").lower() not in _NO,
        checks_name=(query.get("ssl_check_hostname") or "true").lower() not in _NO,
        files=files,
        socket=socket,
        service=service,
        sentinel_username=query.get("sentinel_username") or None,
        sentinel_password=query.get("sentinel_password") or None,
    )


def _hosts(kind: str, rest: str, port: int) -> tuple[SplitResult, tuple[tuple[str, int], ...]]:
    """The URL with its first host alone, and all hosts that it names."""
    netloc, slash, behind = rest.partition("/")
    login, at, names = netloc.rpartition("@")
    first, *others = names.split(",")
    parts = split(f"{kind}://{login}{at}{first}{slash}{behind}")
    found = [parts, *(split(f"{kind}://{one.strip()}") for one in others)]
    if kind == "unix":
        return parts, ()
    return parts, tuple((one.hostname or "127.0.0.1", one.port or port) for one in found)
