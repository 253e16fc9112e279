"""DATABASE_URL taken apart: what each of those who talk to Postgres is given of it, and what is refused at start.

Go's lib/pq (in the library), asyncpg (in the worker) and PgBouncer read the same URL differently, so it is read here
once and told to each in its own words.
"""

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from workers.store.device import StoreRefused

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
IDLE_SECONDS = 2
"""Without PgBouncer the server itself closes the library's idle connections after this long."""

#: What the URL may say besides the address. Whatever else it says would reach only some of the three.
_KNOWN = frozenset({"host", "sslmode", "sslrootcert", "binary_parameters"})


@dataclass(frozen=True, slots=True)
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
        """For `asyncpg.connect`."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "ssl": self._tls(),
        }

    def library_dsn(self, *, pooled: bool) -> str:
        """For the library. Always with binary parameters: without, a transaction pooler mixes up statements of different
        sessions. A pooler refuses every further parameter, so only without one the server is asked to close idle
        connections; the library opens them anew when it needs them."""
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
        parts = urlsplit(url)
        port = parts.port or 5432
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise StoreRefused(
            "is no URL; a password with special characters has to be percent-encoded (`@` is `%40`, `/` is `%2F`)"
        ) from None
    if unknown := sorted(options.keys() - _KNOWN):
        raise StoreRefused(
            f"has a parameter that is not supported: {unknown[0]} (supported: {', '.join(sorted(_KNOWN))})"
        )
    if options.get("binary_parameters", "yes") != "yes":
        raise StoreRefused("says binary_parameters=no, with which a transaction pooler mixes up companies' statements")
    host = options.get("host") or unquote(parts.hostname or "")
    database = unquote(parts.path.removeprefix("/"))
    user = unquote(parts.username or "")
    if "," in parts.netloc or not (host and database and user):
        raise StoreRefused("does not name one host, a user and a database, as postgres://user:password@host/database")
    local = host.startswith("/") or host in LOOPBACK
    sslmode = options.get("sslmode") or ("disable" if local else "require")
    if sslmode not in SSL_MODES:
        # `prefer` and `allow` let whoever is in between choose no encryption.
        raise StoreRefused(f"says sslmode={sslmode}; one of {', '.join(SSL_MODES)} is needed")
    sslrootcert = options.get("sslrootcert") or None
    if sslmode.startswith("verify") and sslrootcert is None:
        raise StoreRefused(f"says sslmode={sslmode}, which needs sslrootcert=/path/of/the/certificates.pem as well")
    password = unquote(parts.password or "")
    if any(letter in value for value in (host, database, user, password) for letter in "\0\r\n"):
        raise StoreRefused("has a line break in a name or in the password")
    return Server(host, port, database, user, password, sslmode, sslrootcert)
