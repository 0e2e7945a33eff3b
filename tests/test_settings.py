"""Every variable is checked once at start, and a bad one is named."""

from collections.abc import Mapping
from typing import Any

import pytest

import settings
from settings import VARIABLES, InvalidSetting

LIMITS = {
    "agent": "USAGE_SESSION_LIMIT_AGENT",
    "ticket-guidance": "USAGE_SESSION_LIMIT_TICKET_GUIDANCE",
    "mobile-web": "USAGE_SESSION_LIMIT_MOBILE_WEB",
    "web-self-service": "USAGE_SESSION_LIMIT_WEB_SELF_SERVICE",
}


def test_nothing_set_gives_the_defaults() -> None:
    """One machine, a day for each session; what belongs to others is left alone."""
    found = settings.read({"PATH": "/bin", "KAFKA": "elsewhere:1", "MY_USAGE_KAFKA": "x"})
    assert found == settings.Settings(
        kafka="127.0.0.1:9092",
        redis="redis://127.0.0.1:6379/0",
        group="usage",
        partitions=12,
        replication=1,
        max_batch_bytes=64 * 1024 * 1024,
        session_limits=dict.fromkeys(LIMITS, 86_400),
    )


def test_an_empty_variable_is_as_good_as_none() -> None:
    """As in a compose file that passes on what is not set."""
    assert settings.read(dict.fromkeys(VARIABLES, "")) == settings.read({})


@pytest.mark.parametrize(
    ("variable", "text", "member", "value"),
    [
        ("USAGE_KAFKA", "kafka:9092", "kafka", "kafka:9092"),
        ("USAGE_KAFKA", "a:1, b.example.com:65535 ,[::1]:9092", "kafka",
         "a:1,b.example.com:65535,[::1]:9092"),
        ("USAGE_REDIS", "redis://redis", "redis", "redis://redis"),
        ("USAGE_REDIS", "rediss://u:p@redis:6380/3", "redis", "rediss://u:p@redis:6380/3"),
        ("USAGE_REDIS", "redis://[::1]:6379", "redis", "redis://[::1]:6379"),
        ("USAGE_REDIS", "redis://r?cluster=true", "redis", "redis://r?cluster=true"),
        ("USAGE_REDIS", "redis://r/0?cluster=true", "redis", "redis://r/0?cluster=true"),
        ("USAGE_REDIS", "redis://r/3?cluster=false", "redis", "redis://r/3?cluster=false"),
        ("USAGE_GROUP", "usage-2.b_c", "group", "usage-2.b_c"),
        ("USAGE_PARTITIONS", "1", "partitions", 1),
        ("USAGE_PARTITIONS", " 10000 ", "partitions", 10_000),
        ("USAGE_REPLICATION", "3", "replication", 3),
    ],
)  # fmt: skip
def test_a_variable_is_read(variable: str, text: str, member: str, value: Any) -> None:
    """It changes its own member and no other."""
    found = settings.read({variable: text})
    assert getattr(found, member) == value
    assert found._replace(**{member: None}) == settings.read({})._replace(**{member: None})


@pytest.mark.parametrize("application", LIMITS)
def test_each_application_has_its_own_limit(application: str) -> None:
    """In seconds."""
    limits: Mapping[str, int] = settings.read({LIMITS[application]: "3600"}).session_limits
    assert limits == dict.fromkeys(LIMITS, 86_400) | {application: 3600}


@pytest.mark.parametrize(
    ("variable", "texts"),
    [
        ("USAGE_KAFKA", [",", "kafka", "kafka:", ":9092", "kafka:port", "kafka:9092;b:1",
                         "http://kafka:9092", "a b:9092", "kafka:9092 b:9092"]),
        ("USAGE_REDIS", ["redis", "http://redis", "redis://", "redis://:6379", "redis://h:port",
                         "redis://h:0", "redis://h:70000", "redis://h/name", "redis://[::1",
                         "redis://h?cluster=yes", "redis://h?cluster", "redis://h/1?cluster=true"]),
        ("USAGE_GROUP", ["a b", "a/b", "ä", "x" * 201, " "]),
        ("USAGE_PARTITIONS", ["0", "-1", "10001", "1.5", "ten", "1e3", "0x10", "٣", "1_000"]),
        ("USAGE_REPLICATION", ["0", "21", "one"]),
        *((limit, ["0", "-5", "3024001", "24h", "1.5", "9" * 13]) for limit in LIMITS.values()),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused(variable: str, texts: list[str]) -> None:
    """The sentence names the variable, what it is, and what it must be."""
    for text in texts:
        with pytest.raises(InvalidSetting, match=rf"^{variable} is .*; it must be .+") as refused:
            settings.read({variable: text})
        assert refused.value.variable == variable
        assert repr(text) in str(refused.value)


@pytest.mark.parametrize("server", ["kafka:0", "kafka:65536", "kafka:99999"])
def test_a_port_that_cannot_be_is_refused(server: str) -> None:
    """For Kafka as for Redis."""
    with pytest.raises(InvalidSetting, match="USAGE_KAFKA"):
        settings.read({"USAGE_KAFKA": server})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("USAGE_KAFAK", "USAGE_KAFKA"),
        ("USAGE_REDIS_URL", "USAGE_REDIS"),
        ("USAGE_SESSION_LIMIT_MOBILE", "USAGE_SESSION_LIMIT_MOBILE_WEB"),
        ("USAGE_PARTITION", "USAGE_PARTITIONS"),
    ],
)
def test_a_misspelled_variable_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    """A setting that would be ignored in silence is a mistake."""
    with pytest.raises(InvalidSetting, match=rf"^{name} is 'x'.* {nearest}$"):
        settings.read({name: "x"})


def test_a_variable_like_no_other_is_refused() -> None:
    """Without a guess at what was meant."""
    with pytest.raises(InvalidSetting, match=r"USAGE_SOMETHING_ELSE.*no such setting"):
        settings.read({"USAGE_SOMETHING_ELSE_ENTIRELY": "1", "USAGE_KAFKA": "kafka:9092"})


@pytest.mark.parametrize("name", ["USAGE_REQUIRE_KAFKA", "USAGE_KAFKA_JARS"])
def test_the_tests_own_variables_are_no_settings(name: str) -> None:
    """They are let through, and change nothing."""
    assert settings.read({name: "1"}) == settings.read({})


def test_a_password_is_not_told() -> None:
    """A refused URL may be logged; what is secret in it must not be."""
    with pytest.raises(InvalidSetting, match="USAGE_REDIS") as refused:
        settings.read({"USAGE_REDIS": "redis://user:hunter2@redis:99999/0"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_says_what_it_means(variable: str) -> None:
    """A name of ours, a meaning, and a default that is itself valid."""
    setting = VARIABLES[variable]
    assert variable.startswith("USAGE_")
    assert setting.meaning
    setting.parse(setting.default)
