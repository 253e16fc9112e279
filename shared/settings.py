"""The environment, read once and checked at start. A bad or missing value ends the process with a sentence naming it.

One file, as it is one table: a row for each setting, with its kind, its default, and as its docstring its line of
docs/environment.md.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from shared.core.apikeys import ApiKey, read_api_keys
from shared.core.colour import check_accent
from shared.core.events import DEFAULT_EVENTS, EventType
from shared.core.fields import UNREADABLE, Origin, Region, SecureUrl, Shown, origin_of
from shared.core.signing import key_of
from shared.core.urls import redis_place, split
from shared.core.webversion import parse_wish

MIN_SECRET = 32
PLACEHOLDER = "make-one-with"
"""Beginning of the secrets in our examples, which nobody may keep."""
PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
)
"""Networks of the routers of hosts."""
T = TypeVar("T")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _fits(check: Callable[[Any], object]) -> AfterValidator:
    """Have `check` raise ValueError for a bad value; its result is ignored. Of a secret it sees the text."""

    def checked(value: T) -> T:
        check(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return value

    return AfterValidator(checked)


def _matches(pattern: str, sentence: str) -> AfterValidator:
    """Raise ValueError with the sentence unless the text begins as the pattern says."""

    def check(text: str) -> None:
        if not re.match(pattern, text, re.ASCII | re.IGNORECASE):
            raise ValueError(sentence)

    return _fits(check)


def _listed(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _or_nobody(value: object) -> object:
    return () if isinstance(value, str) and value.strip().lower() == "none" else value


def _one_socks5(value: object) -> object:
    """`socks5h://` is curl's word for a proxy that looks names up, as all of ours do."""
    return re.sub(r"^\s*socks5h:", "socks5:", value, flags=re.IGNORECASE) if isinstance(value, str) else value


def _read_keys(entries: tuple[SecretStr, ...]) -> tuple[ApiKey, ...]:
    return read_api_keys(one.get_secret_value() for one in entries)


def _origin_alone(url: HttpUrl) -> None:
    beside = (url.query, url.fragment, url.username, url.password)
    if url.path not in {None, "/"} or any(one is not None for one in beside):
        raise ValueError(
            "must be the address of web alone, such as https://onboarding.example, without path, query and user"
        )


def _are_certificates(path: Path) -> None:
    import ssl  # only where there are some: it takes memory

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise ValueError("names no file of certificates (PEM) that can be read") from None


Listed = Annotated[tuple[T, ...], BeforeValidator(_listed)]
"""A list, separated by commas or blanks."""
Made = Annotated[
    SecretStr,
    _matches(rf"(?!{PLACEHOLDER})", "is still the example's: make one with `openssl rand -hex 32`"),
]
"""A secret that somebody has made."""
SecretKey = Annotated[Made, _matches(rf"(?s:.{{{MIN_SECRET}}})", f"is shorter than {MIN_SECRET} characters")]
NameSpace = Annotated[str, _matches(r"[\w.-]*\Z", "must be one word of letters, digits, `-`, `_` and `.`")]
Database = Annotated[SecretStr, _fits(split), _matches(r"\s*postgres(ql)?(\+\w+)?:", "must begin with postgres://")]
Proxy = Annotated[
    SecretStr,
    BeforeValidator(_one_socks5),
    _fits(split),
    _matches(r"\s*(https?|socks5)://[^/?#]", "must begin with http://, https:// or socks5://, and name a host"),
]
Dsn = Annotated[
    SecretStr, _matches(r"https?://[^/@:][^/@]*@[^/?#]+/+[^/?#]", "must look like https://<key>@<host>/<project>")
]
AgeKey = Annotated[
    SecretStr, _matches(r"\s*age(-secret-key-)?1", "must be a key of age, as `onboarding key backup` makes it")
]


class Settings(BaseModel):
    """Settings of the service. Lists are separated by commas or blanks."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if isinstance(value, str) and UNREADABLE.search(value):
            raise ValueError("is not UTF-8")
        return value

    host: str = "0.0.0.0"  # noqa: S104 - a host's router
    """Address that web listens on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port that web listens on."""
    redis_url: Annotated[SecretStr, _fits(redis_place)] = SecretStr("redis://127.0.0.1:6379/0")
    """Redis, as `redis://`, `rediss://`, `unix://`, or by its sentinels as
    `redis+sentinel://host:26379,host:26379/service/0`. Of TLS it may say `ssl_cert_reqs=none`,
    `ssl_check_hostname=false`, and the files `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`."""
    redis_tls_verify: bool = True
    """`false` accepts the self-signed certificate that Heroku-style hosts give their Redis."""
    namespace: NameSpace = Field(default="", max_length=32)
    """Begins every name in Redis, as `x:`, so that two stacks share one server; each needs its own. Empty: none; but
    `db1:` in database 1, since the databases of one server share their channels."""
    database_url: Database | None = None
    """Postgres for linked devices; without it one SQLite file a session in `DATA_DIR`."""
    database_pool: int = Field(default=4, ge=2, le=100)
    """Connections to Postgres that all sessions of one worker share, at most."""
    data_dir: Path = Path(".run/data")
    """Folder for linked devices when there is no Postgres."""
    secret_key: SecretKey
    """Signs the links; at least 32 characters."""
    api_keys: Annotated[Listed[Made], _fits(_read_keys)]
    """Keys that may call the API, separated by commas or blanks: at least 16 characters, or
    `name:sha256:<hex>[:scope+scope]`, as `onboarding key new` makes them."""
    public_url: Annotated[HttpUrl, _fits(_origin_alone)] | None = None
    """Address at which browsers find web, without a path; begins every link."""
    allowed_origins: Listed[Origin] = ()
    """Origins whose pages may open the websocket, besides `PUBLIC_URL`; separated by commas or blanks."""
    embed_origins: Listed[Origin] = ()
    """Origins whose pages may show ours in a frame; separated by commas or blanks."""
    return_origins: Listed[Origin] = ()
    """Origins that a link's `returnUrl` and `refreshUrl` may lead to, besides `PUBLIC_URL` and `EMBED_ORIGINS`;
    separated by commas or blanks."""
    platform_name: Shown | None = Field(default=None, max_length=60)
    """Your name, shown on the page; else the host of `PUBLIC_URL`."""
    device_name: Shown = Field(default="Booking assistant", max_length=60)
    """The linked device's name on the owner's phone."""
    default_region: Region = "RU"
    """Country by which numbers without a + are read."""
    support_url: HttpUrl | None = None
    """Address at which owners find help; the page links to it."""
    privacy_url: HttpUrl | None = None
    """Your privacy notice; the page links to it."""
    accent_color: Annotated[str, AfterValidator(check_accent)] | None = None
    """The colour of the page's buttons, such as `#0a7d4f`, in which words on white can be read (4.5 : 1)."""
    logo_url: SecureUrl | None = None
    """Your logo, by https; the page shows it 36 pixels high. Best SVG, or 20 KB at most."""
    sentry_dsn: Dsn | None = None
    """Address to which errors are reported."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level logged."""
    log_format: Literal["json", "console"] = "json"
    """Log lines for machines or for people."""
    whatsapp_proxy_url: Proxy | None = None
    """`http://` or `socks5://` to WhatsApp."""
    whatsapp_web_version: Annotated[str, _fits(parse_wish)] = ""
    """`2.3000.N`: claim at least this version of WhatsApp Web; `off`: always the library's own; empty: a newer one
    when WhatsApp refuses the library's."""
    webhook_url: HttpUrl | None = None
    """Address at which your platform hears of sessions and messages."""
    webhook_secret: Listed[Annotated[Made, _fits(key_of)]] = ()
    """Secrets of the webhooks, best `whsec_` and base64 of 32 random bytes; separated by commas or blanks. The
    first signs."""
    webhook_ca: Annotated[Path, _fits(_are_certificates)] | None = None
    """File of certificates (PEM) that may sign your server's, beside the public authorities."""
    webhook_events: Listed[EventType] = DEFAULT_EVENTS
    """The kinds of events that go to `WEBHOOK_URL`; separated by commas or blanks."""
    webhook_networks: Listed[IPvAnyNetwork] = ()
    """Private networks, such as `10.0.0.0/8`, in which a company's own webhook may be; public addresses always
    may."""
    backup_key: AgeKey | None = None
    """Key of `onboarding backup` and `restore`, as `onboarding key backup` makes it: `age1…` can only make backups,
    `AGE-SECRET-KEY-1…` opens them as well."""
    max_attempts: int | None = Field(default=None, ge=1, le=200)
    """Onboardings that one worker serves at once; by its memory if not set."""
    max_sessions: int | None = Field(default=None, ge=1, le=1000)
    """Linked sessions that one worker holds; by its memory if not set."""
    max_waiting: int | None = Field(default=None, ge=1, le=100_000)
    """Onboardings that wait for a place at once, for all workers together; 30 for each of their places, and 100 at
    least, if not set."""
    max_sockets: int = Field(default=5000, ge=10, le=100_000)
    """Connections that one web process keeps at once: websockets, requests and streams together."""
    trusted_proxies: Annotated[Listed[IPvAnyNetwork], BeforeValidator(_or_nobody)] = tuple(
        ip_network(one) for one in PRIVATE_NETWORKS
    )
    """Networks of the proxies before web, whose entries in `X-Forwarded-For` are believed; separated by commas or
    blanks. `none`: nobody's. Without it the private networks."""
    max_rate: int = Field(default=60, ge=0, le=6000)
    """Texts a minute that a session sends for long; what 15 minutes have saved up goes at once. 0: any number."""
    development: bool = False
    """Serves the page's files as they stand, and the gallery of its states at /states; never in production."""

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        if self.webhook_url and not self.webhook_secret:
            raise ValueError("WEBHOOK_URL needs WEBHOOK_SECRET, by which your platform knows that we sent it")
        return self

    def names_in(self, database: int) -> str:
        """The word that begins every name in this database of Redis; empty for none."""
        return self.namespace or (f"db{database}" if database else "")

    @property
    def known_keys(self) -> tuple[ApiKey, ...]:
        return _read_keys(self.api_keys)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets of the webhooks, the one that signs first."""
        return tuple(one.get_secret_value() for one in self.webhook_secret)

    @property
    def told_events(self) -> frozenset[EventType]:
        """The kinds of events that the service's own receiver wants; none without a receiver."""
        return frozenset(self.webhook_events) if self.webhook_url else frozenset()

    @property
    def base_url(self) -> str:
        """The address to which links point, without a slash at the end."""
        return str(self.public_url).rstrip("/") if self.public_url else f"http://127.0.0.1:{self.port}"

    @property
    def shown_name(self) -> str:
        """The platform's name on the page. On a public address it is never made up."""
        host = urlsplit(self.base_url).hostname or ""
        return self.platform_name or ("Platform" if host in LOOPBACK else host)

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose pages may open the websocket."""
        return frozenset({origin_of(self.base_url), *self.allowed_origins})

    @property
    def ways_back(self) -> frozenset[str]:
        """The origins that a link may lead its owner to."""
        return frozenset({origin_of(self.base_url), *self.embed_origins, *self.return_origins})


def read() -> Settings:
    """The settings of this process. Ends it with one sentence per bad value, and exit code 2."""
    return checked(named(environment()))


def environment() -> dict[str, str]:
    """The environment of this process. An empty value is none."""
    return {name: value for name, value in os.environ.items() if value}


def named(given: Mapping[str, str]) -> dict[str, str]:
    """The settings that an environment names, by their names here. An empty value is none."""
    return {name: one for each, one in given.items() if one and (name := each.lower()) in Settings.model_fields}


def checked(given: Mapping[str, str]) -> Settings:
    """The settings of these values, by their names here. Ends the process with one sentence per bad value."""
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        for one in error.errors():
            name = "".join(f"{part} " for part in one["loc"][:1]).upper()
            what = "is missing" if one["type"] == "missing" else one["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"configuration: {name}{what}\n")
        sys.stderr.write("See docs/environment.md for every setting.\n")
        raise SystemExit(2) from None
