"""Every variable is checked once at start, and a bad one is named."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interaction_usage import settings
from interaction_usage.settings import VARIABLES, InvalidSettingError

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
        alive_file="",
        health_port=settings.Listen("", 0),
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
        ("USAGE_REDIS", "rediss://r?ssl_cert_reqs=none", "redis", "rediss://r?ssl_cert_reqs=none"),
        ("USAGE_REDIS", f"rediss://r?ssl_ca_certs={__file__}&ssl_check_hostname=false", "redis",
         f"rediss://r?ssl_ca_certs={__file__}&ssl_check_hostname=false"),
        ("USAGE_GROUP", "usage-2.b_c", "group", "usage-2.b_c"),
        ("USAGE_PARTITIONS", "1", "partitions", 1),
        ("USAGE_PARTITIONS", " 10000 ", "partitions", 10_000),
        ("USAGE_REPLICATION", "3", "replication", 3),
        ("USAGE_ALIVE_FILE", "/run/usage/alive", "alive_file", "/run/usage/alive"),
        ("USAGE_HEALTH_PORT", "8081", "health_port", ("", 8081)),
        ("USAGE_HEALTH_PORT", "127.0.0.1:8081", "health_port", ("127.0.0.1", 8081)),
        ("USAGE_HEALTH_PORT", "[::1]:8081", "health_port", ("::1", 8081)),
    ],
)  # fmt: skip
def test_a_variable_is_read(variable: str, text: str, member: str, value: Any) -> None:
    """It changes its own member and no other."""
    found = settings.read({variable: text})
    assert getattr(found, member) == value
    assert replace(found, **{member: None}) == replace(settings.read({}), **{member: None})


@pytest.mark.parametrize("application", LIMITS)
def test_each_application_has_the_own_limit(application: str) -> None:
    """In seconds."""
    limits: Mapping[str, int] = settings.read({LIMITS[application]: "3600"}).session_limits
    assert limits == dict.fromkeys(LIMITS, 86_400) | {application: 3600}


@pytest.mark.parametrize(
    ("variable", "texts"),
    [
        ("USAGE_KAFKA", [",", "kafka", "kafka:", ":9092", "kafka:port", "kafka:9092;b:1",
                         "http://kafka:9092", "a b:9092", "kafka:9092 b:9092", "me@kafka:9092",
                         "[::1:9092", "kafka/1:9092"]),
        ("USAGE_REDIS", ["redis", "http://redis", "redis://", "redis://:6379", "redis://h:port",
                         "redis://h:0", "redis://h:70000", "redis://h/name", "redis://[::1",
                         "redis://h/1?cluster=true", "redis://h#0", "unix:///redis.sock",
                         "redis://h/0/1", "redis://:p/w@h", "redis://:p?w@h", "redis://:p#w@h",
                         "redis://u:1/w@h", "redis://u:1?cluster=true@h", "redis://a,b"]),
        ("USAGE_GROUP", ["a b", "a/b", "ä", "x" * 201, " "]),
        ("USAGE_PARTITIONS", ["0", "-1", "10001", "1.5", "ten", "1e3", "0x10", "٣", "1_000"]),
        ("USAGE_REPLICATION", ["0", "21", "one"]),
        ("USAGE_ALIVE_FILE", ["alive", "/run/", "/run/a\0b"]),
        ("USAGE_HEALTH_PORT", ["-1", "65536", "port", ":8081", "a b:1", "http://h:1", "::1:80"]),
        *((limit, ["0", "-5", "3024001", "24h", "1.5", "9" * 13]) for limit in LIMITS.values()),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused(variable: str, texts: list[str]) -> None:
    """The sentence names the variable and what it must be; what it is may be a secret."""
    for text in texts:
        with pytest.raises(InvalidSettingError, match=rf"^{variable} must .+") as refused:
            settings.read({variable: text})
        assert refused.value.variable == variable


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("foo=bar", "has the unknown option foo; it may have cluster"),
        ("clutser=true", "has the unknown option clutser; did you mean cluster?"),
        ("cluster=yes", "has the option cluster, which must be true or false"),
        ("cluster", "has the option cluster, which must be true or false"),
        ("socket_timeout=1", "has the unknown option socket_timeout; it may have cluster"),
        ("password=x", "has the unknown option password; it may have cluster"),
        ("ssl_cert_reqs=none", "has the option ssl_cert_reqs, which needs a rediss:// URL"),
        ("%C3%A4=1", "has the unknown option whose name is not shown; it may have cluster"),
    ],
)
def test_an_option_of_redis_url_is_known_or_named(options: str, sentence: str) -> None:
    """Rather than handed to a client that cannot take it."""
    with pytest.raises(InvalidSettingError) as refused:
        settings.read({"USAGE_REDIS": f"redis://127.0.0.1:6379/0?{options}"})
    assert str(refused.value) == f"USAGE_REDIS {sentence}"


@pytest.mark.parametrize(
    "option",
    ["ssl_ca_certs=/nowhere", "ssl_certfile=/", "ssl_ca_path=/nowhere", "ssl_cert_reqs=maybe",
     "ssl_check_hostname=1", "ssl_password=", "ssl_min_version=1"],
)  # fmt: skip
def test_an_option_of_tls_has_the_type(option: str) -> None:
    """A file that is not there is found at the start and not at the first connection."""
    with pytest.raises(
        InvalidSettingError, match=rf"^USAGE_REDIS has .*{option.partition('=')[0]}"
    ):
        settings.read({"USAGE_REDIS": f"rediss://127.0.0.1:6379/0?{option}"})


@pytest.mark.parametrize("server", ["kafka:0", "kafka:65536", "kafka:99999"])
def test_a_port_that_cannot_be_is_refused(server: str) -> None:
    """For Kafka as for Redis."""
    with pytest.raises(InvalidSettingError, match="USAGE_KAFKA"):
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
    with pytest.raises(InvalidSettingError) as refused:
        settings.read({name: "x"})
    assert str(refused.value) == f"unknown setting {name}; did you mean {nearest}?"


def test_a_variable_like_no_other_is_refused() -> None:
    """Without a guess at what was meant."""
    with pytest.raises(InvalidSettingError, match=r"^unknown setting USAGE_SOMETHING_ELSE"):
        settings.read({"USAGE_SOMETHING_ELSE_ENTIRELY": "1", "USAGE_KAFKA": "kafka:9092"})


@pytest.mark.parametrize("name", ["USAGE_REQUIRE_KAFKA", "USAGE_KAFKA_JARS"])
def test_the_tests_own_variables_are_no_settings(name: str) -> None:
    """They are let through, and change nothing."""
    assert settings.read({name: "1"}) == settings.read({})


#: Something that is nowhere else in a message, with every character that divides a URL.
SECRETS = st.text("s3cr/et?#&=:@[]%+ ä\\'\"", min_size=1, max_size=12).map(
    lambda text: f"q7{text}x9"
)
#: What stands around a secret.
PLACES = st.sampled_from(
    ["{}", "redis://:{}@h", "redis://{}@h:1/0", "redis://u:{}@h:70000", "redis://:{}@h?foo=1",
     "rediss://h?ssl_password={}&foo=bar", "redis://h?foo={}", "redis://h/{}", "redis://h#{}",
     "redis://h?cluster={}", "http://u:{}@h", "//:{}@h", "u:{}@kafka:9092", "{}@kafka:9092",
     "kafka:9092,{}", "1{}", "redis://:{}@h/1?cluster=true", "rediss://h?ssl_ca_certs={}"]
)  # fmt: skip


@given(st.sampled_from([*VARIABLES, "USAGE_REDIS_PASSWORD", "USAGE_X"]), PLACES, SECRETS)
def test_no_value_is_ever_shown(variable: str, place: str, secret: str) -> None:
    """Whatever is wrong with it, and wherever in it the secret is."""
    environment = {variable: place.format(secret)}
    try:
        shown = repr(replace(settings.read(environment), group=""))  # a valid one is shown
    except InvalidSettingError as refused:
        shown = f"{refused} {refused!r}"
    assert secret not in shown
    assert "q7" not in shown


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_says_what_it_means(variable: str) -> None:
    """A name of ours, a meaning, and a default that is itself valid."""
    setting = VARIABLES[variable]
    assert variable.startswith("USAGE_")
    assert setting.meaning
    setting.parse(setting.default)
