"""Hosts are compared as hosts, not as texts."""

import pytest

from interaction_usage.dashboard.hosts import authority, is_loopback, is_same_origin


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://127.0.0.1", "127.0.0.1:"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://usage.example", "USAGE.example."),
        ("HTTP://Usage.Example", "usage.example:80"),
        ("http://[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"),
        ("http://[2001:DB8::1]", "[2001:db8::1]:80"),
        ("https://usage.example", "usage.example"),  # a proxy that does not say it speaks TLS
        ("https://usage.example", "usage.example:443"),
    ],
)
def test_the_same_origin(origin: str, host: str) -> None:
    """Default ports, case, the dot of a full name, spellings of IPv6."""
    assert is_same_origin(origin, host, "http")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1", "127.0.0.1:8080"),
        ("https://usage.example", "usage.example:80"),
        ("http://usage.example", "usage.example:443"),
        ("http://usage.example.evil.example", "usage.example"),
        ("http://localhost", "127.0.0.1"),
        ("null", "usage.example"),
        ("", "usage.example"),
        ("", ""),
        ("http://", ""),
        ("http://usage.example/", "usage.example"),
        ("http://usage.example@evil.example", "evil.example"),
        ("http://evil.example", "usage.example, evil.example"),
        ("ftp://usage.example", "usage.example"),
        ("usage.example", "usage.example"),
        ("http://[::1", "[::1"),
        ("http://[:::::]", "[:::::]"),
        ("http://a:99999999", "a:99999999"),
    ],
)
def test_another_origin_or_none(origin: str, host: str) -> None:
    """What is no origin is nobody's."""
    assert not is_same_origin(origin, host, "http")


def test_behind_tls_a_plain_page_is_another_origin() -> None:
    """Where the request is known to have come by https."""
    assert is_same_origin("https://usage.example", "usage.example", "https")
    assert not is_same_origin("http://usage.example", "usage.example", "https")
    assert not is_same_origin("http://usage.example:443", "usage.example", "https")


def test_names_of_this_machine() -> None:
    """As an open server takes them from `Host`."""
    for text in ("127.0.0.1:8080", "LOCALHOST.", "[::1]:1", "127.8.9.1"):
        named = authority(text)
        assert named is not None
        assert is_loopback(named.host), text
    assert authority("evil.example@127.0.0.1") is None
    assert not is_loopback("127.0.0.1.evil.example")
