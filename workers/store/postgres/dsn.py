"""DATABASE_URL taken apart: what each of those who talk to Postgres is given of it, and what is refused at start.

Go's lib/pq (in the library), asyncpg (in the worker) and PgBouncer read the same URL differently. So it is read here,
once, and told to each in its own words.
"""

import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from shared.core.urls import is_file, split
from workers.store.device import StoreRefused

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
IDLE_SECONDS = 2
"""Without PgBouncer the server itself closes the library's idle connections after this long."""

EITHER = frozenset({"prefer", "allow"})
"""With these whoever is in between may choose no encryption: remote servers are spoken to as with `require`."""
MODES = {mode: mode for mode in SSL_MODES} | {
    "no-verify": "require",
    "true": "require",
    "1": "require",
    "false": "disable",
    "0": "disable",
}
"""sslmode as Postgres writes it, and `no-verify` and `ssl=true` as clients for Node do."""
_SEARCH_PATH = re.compile(r"search_path\s*=\s*(\S*)")
SCHEMAS = ("search_path", "schema", "currentschema")
REFUSED = {
    "sslcert": "logs in by a client certificate (sslcert), which is not supported: use a password",
    "sslkey": "logs in by a client certificate (sslkey), which is not supported: use a password",
    "sslcrl": "names a list of revoked certificates (sslcrl), which is not read",
    "passfile": "names a file of passwords (passfile), which is not read: write the password",
    "service": "names a service of pg_service.conf, which is not read: write the server's address",
    "hostaddr": "says hostaddr, which is not supported: write the address as the host",
    "krbsrvname": "logs in by Kerberos (krbsrvname), which is not supported: use a password",
    "replication": "says replication, with which statements are answered otherwise",
}
"""Without these the connection would go elsewhere or fail. Every other parameter tunes a client that is not ours
(`channel_binding`, `pgbouncer`, `application_name`, `connect_timeout` ...), and is passed over."""


@dataclass(frozen=True)
class Server:
    """A Postgres server and how to log in to it. `host` is a name, an address, or the folder of a Unix socket."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    sslmode: str
    sslrootcert: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Arguments of `asyncpg.connect`."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "ssl": self._tls(),
        }

    def library_dsn(self, *, pooled: bool) -> str:
        """DSN for the library. It always asks for binary parameters: without them a transaction pooler mixes up the
        statements of different sessions. A pooler refuses every further parameter. So the server is asked to close idle
        connections only if there is no pooler; the library opens them anew when it needs them."""
        options = {"sslmode": self.sslmode, "binary_parameters": "yes"}
        if self.sslrootcert is not None:
            options["sslrootcert"] = self.sslrootcert
        if not pooled:
            options["idle_session_timeout"] = str(IDLE_SECONDS * 1000)
        login = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        if self.host.startswith("/"):
            options = {"host": self.host, "port": str(self.port)} | options
            place = ""
        else:
            place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        # lib/pq reads the query by the rules of URLs, where a slash needs no escape but a blank is `%20` or `+`.
        return f"postgres://{login}@{place}/{quote(self.database, safe='')}?{urlencode(options, quote_via=quote, safe='/')}"

    def _tls(self) -> ssl.SSLContext | bool:
        if self.sslmode == "disable":
            return False
        if self.sslmode == "require":
            # Encrypted, from whoever answers: what Heroku-style hosts have, whose certificates nobody has signed.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        context = ssl.create_default_context(cafile=self.sslrootcert)
        context.check_hostname = self.sslmode == "verify-full"
        return context


def server_of(url: str) -> Server:
    """The server that DATABASE_URL means. Raises `StoreRefused` with one sentence, which holds no secret."""
    try:
        parts = split(url)
    except ValueError as error:
        raise StoreRefused(str(error)) from None
    options = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    _refuse_what_misleads(options)
    host = options.get("host") or unquote(parts.hostname or "")
    database = unquote(parts.path.removeprefix("/")) or options.get("dbname", "")
    user = unquote(parts.username or "") or options.get("user", "")
    if "," in host or not (host and database and user):
        raise StoreRefused("does not name one host, a user and a database, as postgres://user:password@host/database")
    port = parts.port or options.get("port") or 5432
    if not str(port).isdecimal():
        raise StoreRefused("has a port that is no number")
    sslmode = _sslmode(options, local=host.startswith("/") or host in LOOPBACK)
    sslrootcert = options.get("sslrootcert") or None
    if sslmode.startswith("verify") and sslrootcert is None:
        raise StoreRefused(
            f"says sslmode={sslmode}, which needs sslrootcert=/path/of/the/certificates.pem or sslrootcert=system as well"
        )
    if sslrootcert == "system":
        sslrootcert = _certificates_of_the_system()
    if sslrootcert is not None and not is_file(sslrootcert):
        raise StoreRefused("names a file by sslrootcert that is not there")
    if sslrootcert is not None and sslmode == "require":
        sslmode = "verify-ca"  # as libpq and lib/pq take it
    password = unquote(parts.password or "") or options.get("password", "")
    if any(letter in value for value in (host, database, user, password) for letter in "\0\r\n"):
        raise StoreRefused("has a line break in a name or in the password")
    return Server(host, int(port), database, user, password, sslmode, sslrootcert)


def _refuse_what_misleads(options: dict[str, str]) -> None:
    for name, why in REFUSED.items():
        if options.get(name):
            raise StoreRefused(why)
    if options.get("binary_parameters", "yes") not in {"yes", ""}:
        raise StoreRefused("says binary_parameters=no, with which a transaction pooler mixes up companies' statements")
    schemas = {name: options.get(name, "") for name in SCHEMAS}
    schemas["options"] = ",".join(_SEARCH_PATH.findall(options.get("options", "")))
    for name in [one for one, schema in schemas.items() if schema not in {"public", ""}]:
        raise StoreRefused(f"names a schema ({name}), which only some of our connections would use: give it a database")


def _sslmode(options: dict[str, str], *, local: bool) -> str:
    usual = "disable" if local else "require"
    asked = (options.get("sslmode") or options.get("ssl") or usual).lower()
    mode = usual if asked in EITHER else MODES.get(asked)
    if mode is None:
        raise StoreRefused(f"says an sslmode that there is not; one of {', '.join(SSL_MODES)} is needed")
    return mode


def _certificates_of_the_system() -> str:
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        raise StoreRefused("says sslrootcert=system, but this system has no file of certificates: name one")
    return found
