"""Every variable is checked once at start, and a bad one is named."""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from interaction_usage import settings
from interaction_usage.kafka_address import KafkaAddress, Security
from interaction_usage.setting_values import Listen
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
        kafka=KafkaAddress("127.0.0.1:9092"),
        redis="redis://127.0.0.1:6379/0",
        group="usage",
        partitions=12,
        replication=1,
        max_batch_bytes=64 * 1024 * 1024,
        session_limits=dict.fromkeys(LIMITS, 86_400),
        alive_file="",
        health_port=Listen("", 0),
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
        *(("USAGE_REDIS", url, "redis", url) for url in (
            "unix:///run/redis.sock", "unix://u:p@/run/redis.sock?db=3",
            "redis+sentinel://a/s", "redis+sentinel://u:p@a:1,[::1]:2,b/s/3?sentinel_password=x",
            f"rediss+sentinel://a/s?ssl_ca_certs={__file__}",
        )),
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
                         "redis://h/1?cluster=true", "redis://h#0", "unix://redis.sock", "unix://",
                         "unix://u:p/w@/a", "redis+sentinel://h", "redis+sentinel:///s",
                         "redis+sentinel://a,,b/s", "redis+sentinel://[::1/s",
                         "redis+sentinel://a/s/x", "redis+sentinel://:p/w@a/s",
                         "redis://h/0/1", "redis://:p/w@h", "redis://:p?w@h", "redis://:p#w@h",
                         "redis://u:1/w@h", "redis://u:1?cluster=true@h", "redis://a,b"]),
        ("USAGE_GROUP", ["a b", "a/b", "ä", "x" * 201, " "]),
        ("USAGE_PARTITIONS", ["0", "-1", "10001", "1.5", "ten", "1e3", "0x10", "٣", "1_000"]),
        ("USAGE_REPLICATION", ["0", "21", "one"]),
        ("USAGE_ALIVE_FILE", ["alive", "/run/", "/run/a\0b", "//u:p@h"]),
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
     "kafka:9092,{}", "1{}", "redis://:{}@h/1?cluster=true", "rediss://h?ssl_ca_certs={}",
     "unix://u:{}@/run/x", "unix:///x?db={}", "unix://{}", "redis+sentinel://u:{}@a,b:1/s/0",
     "redis+sentinel://a/s?sentinel_password={}", "redis+sentinel://{}", "redis+sentinel://a/s/{}"]
)  # fmt: skip


@given(st.sampled_from([*VARIABLES, "USAGE_REDIS_PASSWORD", "USAGE_X"]), PLACES, SECRETS)
def test_no_value_is_ever_shown(variable: str, place: str, secret: str) -> None:
    """Whatever is wrong with it, and wherever in it the secret is."""
    environment = {variable: place.format(secret)}
    try:
        found = settings.read(environment)  # a valid name is shown
        shown = repr(replace(found, group="", topic_prefix="", redis_prefix=""))
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


# ------------------------------------------------------------------------- how clients log in


def test_kafka_is_reached_without_login_unless_one_is_given() -> None:
    """The address itself is what people see."""
    found = settings.read({"USAGE_KAFKA": "a:1,b:2"}).kafka
    assert (found, found.security) == ("a:1,b:2", Security())


def login(**members: str) -> dict[str, str]:
    """Return variables with which clients log in with SCRAM over TLS, with changes."""
    usual = {
        "security_protocol": "sasl_ssl", "sasl_mechanism": "scram-sha-512",
        "sasl_username": "meter", "sasl_password": "s3cret",
    }  # fmt: skip
    return {f"USAGE_KAFKA_{name.upper()}": text for name, text in (usual | members).items()}


def test_the_login_goes_with_the_address_and_shows_nowhere() -> None:
    """Also in another process, as pickled."""
    found = settings.read(login())
    assert found.kafka.security == Security("SASL_SSL", "SCRAM-SHA-512", "meter", "s3cret")
    assert "s3cret" not in f"{found!r} {found.kafka} {found.kafka!r} {found.kafka.security!r}"
    assert pickle.loads(pickle.dumps(found.kafka)).security == found.kafka.security


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (login(sasl_mechanism=""), "USAGE_KAFKA_SASL_MECHANISM is needed for SASL_SSL"),
        (login(sasl_password=""), "USAGE_KAFKA_SASL_PASSWORD is needed for SCRAM-SHA-512"),
        (login(security_protocol="SSL"),
         "USAGE_KAFKA_SASL_MECHANISM needs a protocol with SASL; it is SSL"),
        (login(security_protocol="tls"),
         "USAGE_KAFKA_SECURITY_PROTOCOL must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        (login(sasl_mechanism="GSSAPI"), "USAGE_KAFKA_SASL_MECHANISM must be one of PLAIN, SCRAM"),
        (login(sasl_mechanism="oauthbearer"),
         "USAGE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL is needed for OAUTHBEARER"),
        (login(sasl_oauthbearer_token_endpoint_url="https://u:s3cret@host/"),
         "USAGE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL must be a URL"),
        (login(ssl_ca_location="/nowhere"),
         "USAGE_KAFKA_SSL_CA_LOCATION must be a file that can be read"),
        (login(ssl_certificate_location=__file__),
         "USAGE_KAFKA_SSL_KEY_LOCATION is needed: a certificate and its key go together"),
        (login(security_protocol="SASL_PLAINTEXT", ssl_ca_location=__file__),
         "USAGE_KAFKA_SSL_CA_LOCATION needs a protocol with SSL; it is SASL_PLAINTEXT"),
        (login(sasl_password_file="/nowhere", sasl_password=""),
         "USAGE_KAFKA_SASL_PASSWORD_FILE must be a file that can be read"),
        (login(sasl_password_file="/nowhere"),
         "USAGE_KAFKA_SASL_PASSWORD_FILE and USAGE_KAFKA_SASL_PASSWORD are both set"),
        ({"USAGE_REDIS_PASSWORD": "x", "USAGE_REDIS": "redis://:y@h"},
         "USAGE_REDIS_PASSWORD is given twice"),
        ({"USAGE_REDIS_USERNAME": "x"}, "USAGE_REDIS_PASSWORD is needed for a user"),
        ({"USAGE_REDIS_SSL_CA_LOCATION": __file__},
         "USAGE_REDIS_SSL_CA_LOCATION needs a rediss:// URL"),
        ({"USAGE_REDIS_SSL_CA_LOCATION": "/x", "USAGE_REDIS": "rediss://h"},
         "USAGE_REDIS_SSL_CA_LOCATION must be a file that can be read"),
    ],
)  # fmt: skip
def test_a_login_that_does_not_fit_is_refused(variables: dict[str, str], sentence: str) -> None:
    """Before any client is made, and without the secret."""
    with pytest.raises(InvalidSettingError) as refused:
        settings.read(variables)
    assert str(refused.value).startswith(sentence)
    assert "s3cret" not in str(refused.value)


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    """As Docker and Kubernetes provide it, with a new line at its end or without."""
    (tmp_path / "kafka").write_text("s3 cret\n")
    (tmp_path / "redis").write_text("p/w@?#%:[]")
    found = settings.read(
        login(sasl_password="", sasl_password_file=str(tmp_path / "kafka"))
        | {"USAGE_REDIS_PASSWORD_FILE": str(tmp_path / "redis"), "USAGE_REDIS": "redis://h:1/2"}
    )
    assert found.kafka.security.sasl_password == "s3 cret"
    arguments = Redis.from_url(found.redis).get_connection_kwargs()
    expected = {"host": "h", "port": 1, "db": 2, "password": "p/w@?#%:[]"}
    assert arguments.items() >= expected.items()
    assert not arguments.get("username")


@pytest.mark.parametrize(
    "name",
    ["USAGE_PORT", "USAGE_PORT_8080_TCP_ADDR", "USAGE_SERVICE_HOST", "USAGE_SERVICE_PORT_HTTP",
     "USAGE_DASHBOARD_SERVICE_HOST", "USAGE_DASHBOARD_PORT_8080_TCP", "USAGE_REDIS_PORT_6379_TCP"],
)  # fmt: skip
def test_what_kubernetes_injects_is_left_alone(name: str) -> None:
    """A Service named `usage` sets variables in every container beside it."""
    assert settings.read({name: "tcp://10.0.0.1:8080"}) == settings.read({})
