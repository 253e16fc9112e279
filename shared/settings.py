"""The environment, read once and checked at start. A bad or missing value ends the process with a sentence naming it."""

import fcntl
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

import phonenumbers
from pydantic import (
    Field,
    FilePath,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.core import webversion
from shared.core.apikeys import MIN_LENGTH, ApiKey, read_api_keys
from shared.core.colour import check_accent
from shared.core.events import DEFAULT_EVENTS, EventType
from shared.core.plain import check_shown
from shared.core.signing import key_of
from shared.core.urls import redis_place, split

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
NOBODY = "none"
T = TypeVar("T")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """Settings of the service. Lists are separated by commas or blanks."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field(default="0.0.0.0", description="Address that web listens on.")  # noqa: S104 - a host's router
    port: int = Field(default=8000, ge=1, le=65535, description="Port that web listens on.")
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis, as `redis://`, `rediss://`, `unix://`, or by its sentinels "
        "as `redis+sentinel://host:26379,host:26379/service/0`.",
    )
    redis_tls_verify: bool = Field(
        default=True,
        description="`false` accepts the self-signed certificate that Heroku-style hosts give their Redis.",
    )
    namespace: str = Field(
        default="",
        max_length=32,
        description="Begins every name in Redis, as `x:`, so that two stacks share one database. Empty: none; but `db1:` in"
        " database 1, since the databases of one server share their channels.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="Postgres for linked devices; without it one SQLite file a session in `DATA_DIR`."
    )
    database_pool: int = Field(
        default=4, ge=2, le=100, description="Connections to Postgres that all sessions of one worker share, at most."
    )
    data_dir: Path = Field(
        default=Path(".run/data"), description="Folder for linked devices when there is no Postgres."
    )
    secret_key: SecretStr = Field(description=f"Signs the links; at least {MIN_SECRET} characters.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        description=f"Keys that may call the API, separated by commas or blanks: at least {MIN_LENGTH} characters, or "
        "`name:sha256:<hex>[:scope+scope]`, as `onboarding key new` makes them."
    )
    public_url: HttpUrl | None = Field(
        default=None, description="Where browsers find web, without a path; begins every link."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose pages may open the websocket, besides `PUBLIC_URL`; separated by commas or blanks.",
    )
    embed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins whose pages may show ours in a frame; separated by commas or blanks."
    )
    return_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins that a link's `returnUrl` and `refreshUrl` may lead to, besides `PUBLIC_URL` and "
        "`EMBED_ORIGINS`; separated by commas or blanks.",
    )
    platform_name: str = Field(
        default="", max_length=60, description="Your name, shown on the page; else the host of `PUBLIC_URL`."
    )
    device_name: str = Field(
        default="Booking assistant", max_length=60, description="The linked device's name on the owner's phone."
    )
    default_region: str = Field(default="RU", description="Country by which numbers without a + are read.")
    support_url: HttpUrl | None = Field(default=None, description="Where owners find help; the page links to it.")
    privacy_url: HttpUrl | None = Field(default=None, description="Your privacy notice; the page links to it.")
    accent_color: str | None = Field(
        default=None,
        description="The colour of the page's buttons, such as `#0a7d4f`, in which words on white can be read (4.5 : 1).",
    )
    logo_url: HttpUrl | None = Field(
        default=None, description="Your logo, by https; the page shows it 36 pixels high. Best SVG, or 20 KB at most."
    )
    sentry_dsn: SecretStr | None = Field(default=None, description="Where errors are reported.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["json", "console"] = Field(default="json", description="Log lines for machines or for people.")
    whatsapp_proxy_url: SecretStr | None = Field(default=None, description="`http://` or `socks5://` to WhatsApp.")
    whatsapp_web_version: str = Field(
        default="",
        description="`2.3000.N`: claim at least this version of WhatsApp Web; `off`: always the library's own; empty: a"
        " newer one when WhatsApp refuses the library's.",
    )
    webhook_url: HttpUrl | None = Field(default=None, description="Where your platform hears of sessions and messages.")
    webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Secrets of the webhooks, best `whsec_` and base64 of 32 random bytes; separated by commas or blanks. "
        "The first signs.",
    )
    webhook_ca: FilePath | None = Field(
        default=None,
        description="File of certificates (PEM) that may sign your server's, beside the public authorities.",
    )
    webhook_events: Annotated[tuple[EventType, ...], NoDecode] = Field(
        default=DEFAULT_EVENTS,
        description="The kinds of events that go to `WEBHOOK_URL`; separated by commas or blanks.",
    )
    webhook_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        default=(),
        description="Private networks, such as `10.0.0.0/8`, in which a company's own webhook may be; public addresses "
        "always may.",
    )
    backup_key: SecretStr | None = Field(
        default=None,
        description="Key of `onboarding backup` and `restore`, as `onboarding key backup` makes it: `age1…` can only make "
        "backups, `AGE-SECRET-KEY-1…` opens them as well.",
    )
    max_attempts: int | None = Field(
        default=None, ge=1, le=200, description="Onboardings that one worker serves at once; by its memory if not set."
    )
    max_sessions: int | None = Field(
        default=None, ge=1, le=1000, description="Linked sessions that one worker holds; by its memory if not set."
    )
    max_sockets: int = Field(
        default=5000,
        ge=10,
        le=100_000,
        description="Connections that one web process keeps at once: websockets, requests and streams together.",
    )
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        default=tuple(ip_network(one) for one in PRIVATE_NETWORKS),
        description="Networks of the proxies before web, whose entries in `X-Forwarded-For` are believed; separated by "
        "commas or blanks. `none`: nobody's. Without it the private networks.",
    )
    max_rate: int = Field(
        default=60,
        ge=0,
        le=6000,
        description="Texts a minute that a session sends for long; what 15 minutes have saved up goes at once. 0: any number.",
    )
    development: bool = Field(
        default=False,
        description="Serves the page's files as they stand, and the gallery of its states at /states; never in production.",
    )

    @field_validator(
        "api_keys",
        "allowed_origins",
        "embed_origins",
        "return_origins",
        "webhook_secret",
        "webhook_events",
        "webhook_networks",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _nobody(cls, value: object) -> object:
        return "" if isinstance(value, str) and value.strip().lower() == NOBODY else value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        redis_place(value.get_secret_value())
        return value

    @field_validator("namespace")
    @classmethod
    def _one_word(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]*", value, re.ASCII):
            raise ValueError("is one word of letters, digits, `-`, `_` and `.`")
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _scheme(value).partition("+")[0] not in {"postgres", "postgresql"}:
            raise ValueError("begins with postgres://")
        return value

    @field_validator("whatsapp_proxy_url")
    @classmethod
    def _proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _scheme(value) not in {"http", "https", "socks5"}:
            raise ValueError("begins with http://, https:// or socks5://")
        return value

    @field_validator("whatsapp_web_version")
    @classmethod
    def _version_wish(cls, value: str) -> str:
        webversion.parse_wish(value)
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.username or not parts.path.strip("/"):
                raise ValueError("looks like https://<key>@<host>/<project>")
        return value

    @field_validator("backup_key")
    @classmethod
    def _of_age(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip().upper().startswith(("AGE1", "AGE-SECRET-KEY-1")):
            raise ValueError("is a key of age, as `onboarding key backup` makes it")
        return value

    @field_validator("public_url")
    @classmethod
    def _origin_alone(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value is not None and (
            value.path not in {None, "/"}
            or value.query is not None
            or value.fragment is not None
            or value.username
            or value.password
        ):
            raise ValueError("is where web is found, such as https://onboarding.example: without path, query and user")
        return value

    @field_validator("secret_key", "api_keys", "webhook_secret")
    @classmethod
    def _made(cls, value: T) -> T:
        given = value if isinstance(value, tuple) else (value,)
        if any(isinstance(one, SecretStr) and one.get_secret_value().startswith(PLACEHOLDER) for one in given):
            raise ValueError("is still the example's: make one with `openssl rand -hex 32`")
        return value

    @field_validator("allowed_origins", "embed_origins", "return_origins")
    @classmethod
    def _as_browsers_write_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(one) for one in value)

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < MIN_SECRET:
            raise ValueError(f"is shorter than {MIN_SECRET} characters")
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        read_api_keys(key.get_secret_value() for key in value)
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _signing(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            key_of(secret.get_secret_value())
        return value

    @field_validator("accent_color")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        return check_accent(value) if value else value

    @field_validator("logo_url")
    @classmethod
    def _secure(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value is not None and (value.scheme != "https" or value.username or value.password):
            raise ValueError("begins with https:// and names no user")
        return value

    @field_validator("platform_name", "device_name")
    @classmethod
    def _shown(cls, value: str) -> str:
        return check_shown(value) if value else value

    @field_validator("default_region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("is not a country of two letters, such as RU")
        return value.upper()

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
        """The API keys, by their digests."""
        return read_api_keys(key.get_secret_value() for key in self.api_keys)

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
        """Whose page it is: no name is made up for a page that others can see."""
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


def _scheme(value: SecretStr) -> str:
    """The URL's scheme. Raises ValueError for a URL that nobody can connect to."""
    return split(value.get_secret_value()).scheme


def origin_of(url: str) -> str:
    """The origin of an http URL, as browsers write it: without the port that its scheme implies. Raises ValueError."""
    parts = urlsplit(url)
    return str(HttpUrl(f"{parts.scheme}://{parts.netloc}")).rstrip("/")


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.path.strip("/"):
        raise ValueError("holds origins, such as https://platform.example")
    return origin_of(text)


def read() -> Settings:
    """The settings of this process. Ends it with one sentence per bad value, and exit code 2."""
    try:
        return Settings()  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        _say(error)
        raise SystemExit(2) from None


def _say(error: ValidationError) -> None:
    for one in error.errors():
        name = "_".join(str(part) for part in one["loc"][:1]).upper()
        said = one["msg"].removeprefix("Value error, ")
        what = "is missing" if one["type"] == "missing" else said
        sys.stderr.write(f"configuration: {name} {what}\n" if name else f"configuration: {what}\n")
    sys.stderr.write("See docs/environment.md for every setting.\n")


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """The settings of the operators' command; `may_sign`: SECRET_KEY is the service's own, not a made-up one."""

    settings: Settings
    may_sign: bool


class _Given(BaseSettings):
    """The part of the command's settings that the environment gives."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    redis_url: str | None = None
    secret_key: str | None = None
    api_keys: str | None = None


RUN_FOLDERS = tuple(Path(__file__).resolve().parents[1] / name for name in (".run", ".run/demo"))
"""The folders of `make run` and `make demo`, in the order in which the operators' command looks at them."""


def _running(folder: Path) -> dict[str, str]:
    """The settings of the service that runs in `folder` (`app/local`): its launcher keeps them in `running.json`, and the
    folder locked. Empty if none runs there."""
    try:
        with open(folder / "lock", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return {}
    except BlockingIOError:
        pass  # the launcher holds it
    except OSError:
        return {}
    try:
        found = json.loads((folder / "running.json").read_text(encoding="utf-8"))
        return {str(name).lower(): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _beside(folders: Sequence[Path]) -> dict[str, str]:
    """The settings of the first service that runs in `folders`. Ends the process if there is none."""
    if found := next(filter(None, map(_running, folders)), None):
        return found
    sys.stderr.write(
        "No service runs here. Start one with `make run` or `make demo`, or set REDIS_URL to that of yours.\n"
    )
    raise SystemExit(2)


def environment_for_operator(folders: Sequence[Path] = RUN_FOLDERS) -> dict[str, str]:
    """The environment of a further process of the operators' command: this one's, completed as `read_for_operator` does."""
    here = dict(os.environ)
    if here.get("REDIS_URL"):
        return here
    return {name.upper(): value for name, value in _beside(folders).items()} | {n: v for n, v in here.items() if v}


def read_for_operator(folders: Sequence[Path] = RUN_FOLDERS) -> OperatorSettings:
    """Settings of the operators' command, which needs Redis alone.

    Without REDIS_URL they are those of the service that runs in the first of `folders`. Ends the process like `read`,
    also if no service runs.
    """
    given = _Given().model_fields_set
    filled = {name: token_urlsafe(MIN_SECRET) for name in ("secret_key", "api_keys")}
    may_sign = "secret_key" in given
    if "redis_url" not in given:
        beside = _beside(folders)
        filled |= beside
        may_sign = may_sign or "secret_key" in beside
    try:
        return OperatorSettings(Settings(**{n: v for n, v in filled.items() if n not in given}), may_sign)  # type: ignore[arg-type]
    except ValidationError as error:
        _say(error)
        raise SystemExit(2) from None
