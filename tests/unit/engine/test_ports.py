"""The ports that an engine process may dial: WhatsApp's, and those of the proxies that the library may take."""

import pytest

from tests.each import each
from workers.engine.child import confine


@pytest.fixture
def environment(monkeypatch):
    for name in confine._PROXIES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@each(
    ("proxy", "ports"),
    [
        (None, set()),
        ("", set()),
        ("http://proxy.example:3128", {3128}),
        ("http://user:p%40ss@proxy.example", {80}),
        ("https://proxy.example", {443}),
        ("socks5://10.0.0.1", {1080}),
        ("socks5h://[::1]:9050", {9050}),
        ("proxy.example:8080", {8080}),
        ("proxy.example", {80}),
        ("http://proxy.example:99999", set()),
        ("http://[broken", set()),
    ],
)
def test_the_port_of_a_proxy(environment, proxy, ports):
    assert confine._proxy_ports(proxy) == ports


def test_the_proxies_of_the_environment_count_as_well(environment):
    environment("https_proxy", "http://127.0.0.1:8888")
    environment("ALL_PROXY", "socks5://127.0.0.1:9999")
    assert confine._proxy_ports("http://127.0.0.1:7777") == {7777, 8888, 9999}


def test_a_process_that_is_not_held_gets_a_socket_to_warm_up_with():
    with confine.warming_socket() as one, confine.warming_socket() as other:
        assert one.getsockname() != other.getsockname()
