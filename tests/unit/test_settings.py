"""The environment is checked at start: a bad value ends the process with a sentence that names it.

Most of it are tables of values of one environment: one file.
"""

import contextlib
import fcntl
import json

import pytest

from app.cli.environment import read_for_operator
from shared import settings

SECRET = "s3cret-" * 6
KEY = "an-api-key-of-ours"
GOOD = {"SECRET_KEY": SECRET, "API_KEYS": KEY}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Sets exactly these variables."""

    def put(**values):
        for name in settings.Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in (GOOD | values).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    monkeypatch.chdir(tmp_path)
    return put


def sentences(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("configuration: ")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", None),
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "x" * 31),
        ("API_KEYS", None),
        ("API_KEYS", " , "),
        ("API_KEYS", "short"),
        ("API_KEYS", f"{KEY},short"),
        ("API_KEYS", "billing:sha256:abc"),
        ("API_KEYS", f"billing:sha256:{'0' * 64}:everything"),
        ("API_KEYS", f"billing:sha256:{'0' * 64}:"),
        ("API_KEYS", f"Billing:sha256:{'0' * 64}"),
        ("API_KEYS", f"billing:sha256:{'0' * 64},billing:sha256:{'1' * 64}"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:port/0"),
        ("REDIS_URL", "redis://:pa#ss@127.0.0.1"),
        ("REDIS_URL", "redis+sentinel://127.0.0.1:26379"),
        ("REDIS_URL", "redis://one,two/0"),
        ("REDIS_TLS_VERIFY", "perhaps"),
        ("DATABASE_URL", "postgres://u:pa#ss@localhost/db"),
        ("WHATSAPP_PROXY_URL", "http://u:pa#ss@127.0.0.1:3128"),
        ("DATABASE_URL", "mysql://localhost/db"),
        ("DATABASE_URL", "postgres://[::1/db"),
        ("PUBLIC_URL", "onboarding.example"),
        ("PUBLIC_URL", "ftp://onboarding.example"),
        ("ALLOWED_ORIGINS", "onboarding.example"),
        ("ALLOWED_ORIGINS", "https://a.example,*"),
        ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("ALLOWED_ORIGINS", "https://*.example"),  # it would fit nothing
        ("EMBED_ORIGINS", "https://*.example"),
        ("WHATSAPP_PROXY_URL", "http://"),
        ("WHATSAPP_PROXY_URL", "socks5://?a"),
        ("MAX_WAITING", "0"),
        ("PLATFORM_NAME", "x" * 61),
        ("PLATFORM_NAME", "Book\u202ewell"),
        ("DEVICE_NAME", "a\x07b"),
        ("ACCENT_COLOR", "green"),
        ("ACCENT_COLOR", "#ffcc00"),  # nobody could read it on white
        ("LOGO_URL", "http://cdn.example/logo.svg"),
        ("LOGO_URL", "data:image/svg+xml,x"),
        ("LOGO_URL", "https://user@cdn.example/logo.svg"),
        ("DEVICE_NAME", "x" * 61),
        ("DEFAULT_REGION", "XX"),
        ("DEFAULT_REGION", "Russia"),
        ("SENTRY_DSN", "not-a-dsn"),
        ("SENTRY_DSN", "https://sentry.example/1"),
        ("SENTRY_DSN", "https://:password@sentry.example/1"),
        ("SENTRY_DSN", "https://key@sentry.example?a/1"),
        ("NAMESPACE", "two words"),
        ("NAMESPACE", "line\n"),
        ("BACKUP_KEY", "hunter2"),
        ("WEBHOOK_SECRET", "whsec_short"),
        ("WEBHOOK_EVENTS", "session.linked,everything"),
        ("WHATSAPP_WEB_VERSION", "2.3000"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("WHATSAPP_PROXY_URL", "ftp://proxy.example"),
        ("WEBHOOK_URL", "not a url"),
        ("WEBHOOK_URL", "https://hooks.example/"),  # without WEBHOOK_SECRET
        ("MAX_ATTEMPTS", "0"),
        ("MAX_ATTEMPTS", "many"),
        ("MAX_SESSIONS", "1001"),
        ("WEBHOOK_CA", "/nowhere/authority.pem"),
        ("WEBHOOK_CA", __file__),
        ("WEBHOOK_CA", "x" * 300),  # no file can be named so
        ("REDIS_URL", f"rediss://127.0.0.1?ssl_ca_certs={'x' * 300}"),
        # What Python makes of a byte that is not UTF-8.
        ("SECRET_KEY", "\udcff" * 40),
        ("API_KEYS", "\udcff" * 40),
        ("REDIS_URL", "redis://:\udcff@127.0.0.1"),
        ("DATABASE_URL", "postgres://u:\udcff@localhost/db"),
        ("DATA_DIR", "/srv/\udcff"),
        ("HOST", "\udcff"),
        ("WHATSAPP_PROXY_URL", "http://proxy\udcff.example:1"),
        ("WEBHOOK_SECRET", "\udcff" * 40),
        ("DEVELOPMENT", "sometimes"),
    ],
)
def test_a_bad_value_ends_the_process_with_one_sentence_that_names_it(environment, capsys, name, value):
    environment(**{name: value})
    with pytest.raises(SystemExit) as ended:
        settings.read()
    assert ended.value.code == 2
    (sentence,) = sentences(capsys)
    assert name in sentence
    assert SECRET not in sentence
    assert KEY not in sentence


def test_a_proxy_may_be_written_as_curl_does(environment):
    environment(WHATSAPP_PROXY_URL="socks5h://u:p@127.0.0.1:1080")
    assert settings.read().whatsapp_proxy_url.get_secret_value() == "socks5://u:p@127.0.0.1:1080"


def test_a_secret_that_is_bad_is_not_printed(environment, capsys):
    environment(
        SECRET_KEY="hunter2", API_KEYS="hunter3", REDIS_URL="http://u:hunter4@h", WHATSAPP_PROXY_URL="ftp://u:hunter5@h"
    )
    with pytest.raises(SystemExit):
        settings.read()
    said = capsys.readouterr().err
    assert "hunter" not in said
    assert len([line for line in said.splitlines() if line.startswith("configuration: ")]) == 4


def test_only_secrets_must_be_given_and_the_rest_has_defaults(environment):
    environment()
    config = settings.read()
    assert (config.port, config.default_region, config.log_level) == (8000, "RU", "info")
    assert (config.max_attempts, config.max_sessions, config.development) == (None, None, False)
    assert config.redis_tls_verify
    assert (config.database_url, config.webhook_url, config.sentry_dsn) == (None, None, None)
    assert config.base_url == "http://127.0.0.1:8000"
    assert config.origins == {"http://127.0.0.1:8000"}


def test_an_empty_value_is_no_value(environment):
    environment(PORT="", REDIS_URL="", DATABASE_URL="", SENTRY_DSN="", PUBLIC_URL="")
    assert settings.read() == settings.read()
    assert settings.read().port == 8000


@pytest.mark.parametrize(
    "text", ["a" * 16 + "," + "b" * 16, f" {'a' * 16}  {'b' * 16} ", "a" * 16 + ",\n" + "b" * 16 + ","]
)
def test_lists_are_separated_by_commas_or_blanks(environment, text):
    environment(API_KEYS=text)
    assert [key.get_secret_value()[0] for key in settings.read().api_keys] == ["a", "b"]


@pytest.mark.parametrize(
    ("public", "origin"),
    [
        ("https://onboarding.example", "https://onboarding.example"),
        ("https://onboarding.example/", "https://onboarding.example"),
        ("https://Onboarding.Example:443/", "https://onboarding.example"),
        ("http://onboarding.example:8080", "http://onboarding.example:8080"),
    ],
)
def test_the_page_may_open_the_socket_from_where_it_is(environment, public, origin):
    environment(PUBLIC_URL=public)
    assert origin in settings.read().origins
    assert not settings.read().base_url.endswith("/")


def test_other_origins_are_let_in_by_name_as_a_browser_writes_them(environment):
    environment(PUBLIC_URL="https://a.example", ALLOWED_ORIGINS="https://B.example/, http://c.example:81")
    assert settings.read().origins == {"https://a.example", "https://b.example", "http://c.example:81"}


def test_no_secret_is_in_what_settings_show_of_themselves(environment):
    secrets = {
        "SECRET_KEY": "k" * 40,
        "API_KEYS": "hunter-hunter-hunter",
        "REDIS_URL": "redis://:hunter1@127.0.0.1/0",
        "DATABASE_URL": "postgres://u:hunter2@127.0.0.1/db",
        "SENTRY_DSN": "https://hunter3@sentry.example/1",
        "WHATSAPP_PROXY_URL": "socks5://u:hunter4@127.0.0.1:1080",
        "WEBHOOK_SECRET": "hunter5",
    }
    environment(**secrets)
    config = settings.read()
    for shown in (repr(config), str(config), config.model_dump_json(), repr(config.model_dump())):
        assert "hunter" not in shown
        assert "k" * 40 not in shown


@pytest.mark.parametrize(
    "more", ["/onboarding", "/x/", "?a=b", "/?", "#there", "//", "user@"], ids=lambda one: one.replace("/", "|")
)
def test_a_public_url_at_which_no_link_could_open_is_refused(environment, capsys, more):
    environment(PUBLIC_URL=f"https://{more}a.example" if "@" in more else f"https://a.example{more}")
    with pytest.raises(SystemExit):
        settings.read()
    (said,) = sentences(capsys)
    assert said.startswith("configuration: PUBLIC_URL must be the address of web alone")


@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEYS", "WEBHOOK_SECRET"])
def test_the_examples_secrets_are_no_secrets(environment, capsys, name):
    environment(**{name: "make-one-with-openssl-rand-base64-48"})
    with pytest.raises(SystemExit):
        settings.read()
    (said,) = sentences(capsys)
    assert said.startswith(f"configuration: {name} is still the example's")


@pytest.fixture
def service(tmp_path):
    """A folder in which a launcher runs, as `app.local` leaves it: locked, with its settings in `running.json`."""

    @contextlib.contextmanager
    def running(name, text):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "running.json").write_text(text)
        with open(folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    return running


def running_json(port):
    told = {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "SECRET_KEY": SECRET, "API_KEYS": KEY, "PORT": str(port)}
    return json.dumps(told)


def test_the_command_finds_the_service_that_runs(environment, service, tmp_path):
    environment(SECRET_KEY=None, API_KEYS=None)
    with service("run", running_json(1234)) as run, service("demo", running_json(1235)) as demo:
        found, may_sign = read_for_operator((run, demo))
        assert found.redis_url.get_secret_value() == "redis://127.0.0.1:1234/0"
        assert (may_sign, found.secret_key.get_secret_value()) == (True, SECRET)
        assert found.base_url == "http://127.0.0.1:1234"
        found, _ = read_for_operator((tmp_path / "nothing", demo))
        assert found.redis_url.get_secret_value() == "redis://127.0.0.1:1235/0"


@pytest.mark.parametrize("text", ["", "[damaged", "[]", "null"])
def test_without_a_running_service_the_command_says_how_to_start_one(environment, service, capsys, text):
    environment(SECRET_KEY=None, API_KEYS=None)
    with service("run", running_json(1234)) as stopped:
        pass
    with service("other", text) as damaged, pytest.raises(SystemExit):
        read_for_operator((stopped, damaged))
    assert capsys.readouterr().err.startswith("No service runs here. Start one with `make run` or `make demo`")


def test_a_given_redis_needs_no_running_service(environment):
    environment(SECRET_KEY=None, API_KEYS=None, REDIS_URL="redis://127.0.0.1:1/0")
    assert not read_for_operator(())[1]


def test_proxies_are_trusted_in_private_networks_where_told_or_nowhere(environment):
    environment()
    default = [str(one) for one in settings.read().trusted_proxies]
    assert default == list(settings.PRIVATE_NETWORKS)
    environment(TRUSTED_PROXIES="203.0.113.0/24 2001:db8::/32,198.51.100.7")
    told = [str(one) for one in settings.read().trusted_proxies]
    assert told == ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"]
    environment(TRUSTED_PROXIES="none")
    assert settings.read().trusted_proxies == ()


@pytest.mark.parametrize(
    ("name", "value"), [("TRUSTED_PROXIES", "everybody"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("MAX_SOCKETS", "0")]
)
def test_a_bad_bound_is_refused(environment, capsys, name, value):
    environment(**{name: value})
    with pytest.raises(SystemExit):
        settings.read()
    assert name in sentences(capsys)[0]
