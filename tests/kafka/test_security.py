"""Every client of the product logs in to a real Kafka in every way that the settings have."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from confluent_kafka.admin import ScramMechanism

from interaction_usage import settings
from interaction_usage.commands.main import main
from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import keys
from stream_app import clients
from stream_app.broker import admin_client, ensure_topics, topic_ids, topic_partitions
from stream_app.dead_letter_reader import messages
from stream_app.errors import BrokerDeniedError
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.support.event_lines import flow
from tests.support.secured_kafka import (
    CLIENT,
    CLIENT_SECRET,
    KEY_PASSWORD,
    PASSWORD,
    USER,
    SecuredKafka,
    token_server,
)
from tests.support.system import System

WAYS = ("plain", "scram-256", "scram-512", "no-tls", "oauth", "certificate")
OCTOBER = ("acme", "--from", "2026-10-01", "--to", "2026-10-31", "--tz", "UTC")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Yield a Kafka that was not started."""
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured") / "kafka")
    yield kafka
    kafka.stop()


@pytest.fixture
def secured(need_kafka: None, broker: SecuredKafka) -> SecuredKafka:
    """Return a Kafka with topics, to which nobody gets who does not log in."""
    if not broker.alive:
        broker.start()
        ensure_topics(broker.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 1, 1)
    return broker


@pytest.fixture(scope="module")
def tokens() -> Iterator[str]:
    """Yield the URL of a server that gives tokens."""
    with token_server() as (url, _):
        yield url


def way(name: str, kafka: SecuredKafka, tokens: str) -> dict[str, str]:
    """Return the variables that say how to log in."""
    members = {
        "": f"localhost:{kafka.sasl_ssl}",
        "security_protocol": "SASL_SSL",
        "ssl_ca_location": f"{kafka.folder}/ca.pem",
        "sasl_username": USER,
        "sasl_password": PASSWORD,
        "sasl_mechanism": {"scram-256": "SCRAM-SHA-256", "scram-512": "SCRAM-SHA-512"}.get(
            name, "PLAIN"
        ),
    }
    if name == "no-tls":
        members |= {
            "": f"127.0.0.1:{kafka.sasl}",
            "security_protocol": "SASL_PLAINTEXT",
            "ssl_ca_location": "",
        }
    elif name == "oauth":
        members |= {
            "sasl_username": "", "sasl_password": "", "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauthbearer_token_endpoint_url": tokens, "sasl_oauthbearer_scope": "usage",
            "sasl_oauthbearer_client_id": CLIENT,
            "sasl_oauthbearer_client_secret": CLIENT_SECRET,
        }  # fmt: skip
    elif name == "certificate":
        members |= {
            "": f"localhost:{kafka.ssl}", "security_protocol": "SSL", "sasl_mechanism": "",
            "ssl_certificate_location": f"{kafka.folder}/client.crt",
            "ssl_key_location": f"{kafka.folder}/client.enc.key",
            "ssl_key_password": KEY_PASSWORD,
        }  # fmt: skip
    return {f"USAGE_KAFKA_{member.upper()}".rstrip("_"): value for member, value in members.items()}


@pytest.mark.parametrize("name", WAYS)
def test_each_library_logs_in(name: str, secured: SecuredKafka, tokens: str) -> None:
    """librdkafka's admin client, aiokafka's producer and consumer."""
    kafka = settings.read(way(name, secured, tokens)).kafka
    assert topic_partitions(admin_client(kafka), ["usage.flows"]) == {"usage.flows": 1}

    async def produce() -> None:
        async with AIOKafkaProducer(**clients.aiokafka(kafka)) as producer:
            await producer.send_and_wait(DEAD_LETTERS, b"nothing that anybody reads")

    asyncio.run(produce())
    assert b"nothing that anybody reads" in {message.value for message in messages(kafka)}


@pytest.mark.parametrize("name", ["scram-512", "oauth", "certificate"])
def test_every_command_logs_in(
    name: str, secured: SecuredKafka, tokens: str, tmp_path: Path
) -> None:
    """Producer, worker, lag, doctor, dead letters and their replay, rebuild."""
    with redis_server(tmp_path / "redis") as store:
        system = System(secured, store, tmp_path)
        environment = {**system.environment, **way(name, secured, tokens)}
        system.worker_variables |= way(name, secured, tokens)

        def usage(*arguments: str, stdin: bytes | None = None, code: int = 0) -> Any:
            done = CliRunner().invoke(main, arguments, env=environment, input=stdin)
            assert done.exit_code == code, done.output + system.log()
            return done

        try:
            lines = [flow(f"{name} {n}", time="2026-10-01T12:00:00Z") for n in range(20)]
            usage("send", "-", stdin=b"\n".join(lines))
            system.publish([("usage.flows", b"acme", b"broken", [])])
            system.start_worker()
            usage("lag", "--until-zero", "60")
            report = json.loads(usage("export", *OCTOBER, "--format", "json", "-o", "-").stdout)
            assert report["flow_runs"]["total"] >= 20
            assert "matches the topics exactly" in usage("rebuild", "--verify").output
            listed = json.loads(usage("dead-letters", "list", "--json").stdout)
            assert listed["counts"]["malformed"] >= 1
            usage("dead-letters", "replay", "--all")
            assert "Counts" in usage("doctor").output
        finally:
            system.kill_workers()


# --------------------------------------------------------------------------------- refused logins

WRONG = "a-secret-of-ours"
NO_LOGIN = "Check USAGE_KAFKA_SECURITY_PROTOCOL and the port in USAGE_KAFKA"
#: What is wrong: the way that it is a way of, changes to it, what is said, and what is advised.
REFUSED: dict[str, tuple[str, dict[str, str], str, str]] = {
    "wrong password": (
        "plain", {"_SASL_PASSWORD": WRONG}, "Kafka refused the login: Authentication failed",
        "Check USAGE_KAFKA_SASL_USERNAME and USAGE_KAFKA_SASL_PASSWORD",
    ),
    "unknown user": (
        "scram-512", {"_SASL_USERNAME": "nobody"}, "Kafka refused the login: Authentication failed",
        "Check USAGE_KAFKA_SASL_USERNAME and USAGE_KAFKA_SASL_PASSWORD",
    ),
    "foreign broker": (
        "plain", {"_SSL_CA_LOCATION": "{folder}/stranger/ca.pem"},
        "The broker's certificate is not trusted", "Check USAGE_KAFKA_SSL_CA_LOCATION",
    ),
    "other name": (
        "plain", {"": "127.0.0.1:{sasl_ssl}"},
        "certificate is not valid for '127.0.0.1'", "Name the brokers in USAGE_KAFKA as",
    ),
    "no certificate": (
        "certificate", {"_SSL_CERTIFICATE_LOCATION": "", "_SSL_KEY_LOCATION": ""},
        # followed by what Java calls it: "certificate required" or, earlier, "bad certificate"
        "Kafka refused the certificate of this client: ",
        "Check USAGE_KAFKA_SSL_CERTIFICATE_LOCATION",
    ),
    "foreign certificate": (
        "certificate",
        {
            "_SSL_CERTIFICATE_LOCATION": "{folder}/stranger/client.crt",
            "_SSL_KEY_LOCATION": "{folder}/stranger/client.enc.key",
        },
        "Kafka refused the certificate of this client", "until when the certificate is valid",
    ),
    "expired certificate": (
        "certificate", {"_SSL_CERTIFICATE_LOCATION": "{folder}/client.expired.crt"},
        "Kafka refused the certificate of this client", "until when the certificate is valid",
    ),
    "plain client": ("no-tls", {"": "localhost:{sasl_ssl}"}, "uses TLS, and this", NO_LOGIN),
    "plain port": ("plain", {"": "localhost:{sasl}"}, "does not use TLS, and this", NO_LOGIN),
    "no login": (
        "no-tls", {f"_{each}": "" for each in (
            "SECURITY_PROTOCOL", "SASL_USERNAME", "SASL_PASSWORD", "SASL_MECHANISM")},
        "Kafka asks for a login with SASL", NO_LOGIN,
    ),
    "needless login": (
        "no-tls", {"": "127.0.0.1:{port}"}, "Kafka takes no login with SASL", NO_LOGIN,
    ),
    "no token": (
        "oauth", {"_SASL_OAUTHBEARER_CLIENT_SECRET": WRONG},
        "The token server gave no token: invalid_client",
        "Check USAGE_KAFKA_SASL_OAUTHBEARER_CLIENT_ID",
    ),
}  # fmt: skip


def refused_way(what: str, kafka: SecuredKafka, tokens: str) -> dict[str, str]:
    """Return the variables of a way to log in that Kafka refuses."""
    name, changes, *_ = REFUSED[what]
    members = {**vars(kafka), "folder": kafka.folder}
    changed = {f"USAGE_KAFKA{end}": value.format(**members) for end, value in changes.items()}
    given = {**way(name, kafka, tokens), **changed}
    if not given["USAGE_KAFKA_SSL_KEY_LOCATION" if name == "certificate" else "USAGE_KAFKA"]:
        del given["USAGE_KAFKA_SSL_KEY_PASSWORD"]
    return given


def test_what_is_refused_is_said_as_such(secured: SecuredKafka, tokens: str) -> None:
    """Within seconds, with what to do, and without a secret."""

    def said(what: str) -> str:
        kafka = settings.read(refused_way(what, secured, tokens)).kafka
        with pytest.raises(BrokerDeniedError) as raised:
            topic_ids(admin_client(kafka), [], timeout=20)
        return str(raised.value)

    with ThreadPoolExecutor(len(REFUSED)) as threads:
        for what, each in zip(REFUSED, threads.map(said, REFUSED), strict=True):
            *_, sentence, advice = REFUSED[what]
            assert sentence in each
            assert advice in each
            assert not any(secret in each for secret in (WRONG, PASSWORD, CLIENT_SECRET))


@pytest.mark.parametrize("what", ["wrong password", "expired certificate", "plain client"])
def test_a_refused_login_ends_commands_and_workers(
    what: str, secured: SecuredKafka, tokens: str, tmp_path: Path
) -> None:
    """In one line, although `lag` was to wait."""
    *_, sentence, _ = REFUSED[what]
    with redis_server(tmp_path / "redis") as store:
        system = System(secured, store, tmp_path, refused_way(what, secured, tokens))
        worker = system.start_worker()
        try:
            for command in (["lag", "--until-zero", "60"], ["send", "-"]):
                failed = system.usage(*command, stdin=flow("1"), code=1).stderr.decode()
                assert sentence in failed
                assert len(failed.splitlines()) == 1
            assert worker.process.wait(30) == 1
            assert re.search(f"The worker ends: .*{re.escape(sentence)}", system.log())
            assert "Traceback" not in system.log()
        finally:
            system.kill_workers()


def test_a_login_that_is_refused_later_is_waited_for(
    secured: SecuredKafka, tokens: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """A worker says so once, and counts on as soon as Kafka takes the login again."""
    said = "Kafka refused the login: "
    with redis_server(tmp_path / "redis") as store:
        system = System(secured, store, tmp_path)
        system.worker_variables |= way("scram-512", secured, tokens)
        try:
            system.start_worker()
            system.usage("send", "-", stdin=flow("1"))
            system.catch_up()
            secured.change_password("another one")
            secured.stop()  # who is logged in stays so
            ApacheKafka.start(secured)
            eventually(lambda: said in system.log(), "the worker says so", 90)
            system.usage("send", "-", stdin=flow("2"))
            secured.change_password(PASSWORD)
            system.catch_up()
            # The line of the state may name it too, before or again a minute later.
            assert system.log().count(f"stream_app.obstacles: {said}") <= 1
            assert "Traceback" not in system.log()
        finally:
            secured.change_password(PASSWORD)
            system.kill_workers()


@contextmanager
def traffic(system: System, account: str) -> Iterator[list[int]]:
    """Publish flow runs of an account until the block ends; yield how many that were."""
    count, ends = [0], threading.Event()

    def publish() -> None:
        while not ends.wait(0.02):
            system.publish(
                [("usage.flows", None, flow(f"{account} {count[0]}", subject=account), [])]
            )
            count[0] += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield count
    finally:
        ends.set()
        thread.join()


def await_workers(system: System, count: int, eventually: Callable[..., None]) -> None:
    """Wait until so many workers have sent heartbeats: before, one that is to end just dies."""
    with system.client() as redis:
        eventually(lambda: redis.zcard(keys.WORKERS) >= count, f"{count} workers count", 100)


def test_a_new_password_is_rolled_out_without_loss(
    secured: SecuredKafka, tokens: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Worker after worker, under traffic; both passwords are valid meanwhile."""
    new = "the next one"
    with redis_server(tmp_path / "redis") as store:
        system = System(secured, store, tmp_path)
        system.worker_variables |= way("scram-256", secured, tokens)
        try:
            with traffic(system, "rotated") as published:
                before = [system.start_worker(), system.start_worker()]
                await_workers(system, 2, eventually)
                eventually(lambda: published[0] > 50, "events come in")
                secured.change_password(new, ScramMechanism.SCRAM_SHA_512)
                system.worker_variables |= way("scram-512", secured, tokens)
                system.worker_variables["USAGE_KAFKA_SASL_PASSWORD"] = new
                for worker in before:
                    worker.stop()
                    assert worker.process.returncode == 0
                    system.start_worker()
                    reached = published[0] + 50
                    eventually(lambda reached=reached: published[0] > reached, "more come in")
                secured.change_password("nobody knows it", ScramMechanism.SCRAM_SHA_256)
            system.catch_up()
            report = system.report("rotated", "2026-10-01", "2026-10-31")
            assert report["flow_runs"]["total"] == published[0]
        finally:
            secured.change_password(PASSWORD)
            system.kill_workers()


@pytest.mark.parametrize("kind", ["password", "certificate"])
def test_files_are_replaced_under_traffic_without_loss(
    kind: str, secured: SecuredKafka, tokens: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """The file of a password, or of a certificate and its key, then worker after worker.

    A worker that runs keeps what it has read; the old password is valid for nobody who logs in.
    """
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    variables = way("scram-256" if kind == "password" else "certificate", secured, tokens)
    if kind == "password":
        del variables["USAGE_KAFKA_SASL_PASSWORD"]
        variables["USAGE_KAFKA_SASL_PASSWORD_FILE"] = str(mounted / "password")
        (mounted / "password").write_text(PASSWORD)
    else:
        secured.issue_certificate("first", mounted)
        variables["USAGE_KAFKA_SSL_CERTIFICATE_LOCATION"] = str(mounted / "client.crt")
        variables["USAGE_KAFKA_SSL_KEY_LOCATION"] = str(mounted / "client.key")
        variables["USAGE_KAFKA_SSL_KEY_PASSWORD"] = ""

    def replace() -> None:
        if kind == "password":
            secured.change_password("the next one", ScramMechanism.SCRAM_SHA_256)
            (mounted / "new").write_text("the next one")
            (mounted / "new").rename(mounted / "password")
        else:
            secured.issue_certificate("second", mounted)

    with redis_server(tmp_path / "redis") as store:
        system = System(secured, store, tmp_path)
        system.worker_variables |= variables
        account = f"replaced-{kind}"
        try:
            with traffic(system, account) as published:
                before = [system.start_worker(), system.start_worker()]
                await_workers(system, 2, eventually)
                with system.client() as client:
                    both = "both workers are logged in"
                    eventually(lambda: client.zcard(keys.WORKERS) == 2, both, 90)
                replace()
                for worker in before:
                    reached = published[0] + 50
                    eventually(lambda reached=reached: published[0] > reached, "more come in")
                    worker.stop()
                    assert worker.process.returncode == 0
                    system.start_worker()
            system.catch_up()
            assert all(worker.alive for worker in system.workers[2:])
            if kind == "certificate":  # a connection opened late may meet the new password
                assert "Kafka refused" not in system.log()
            report = system.report(account, "2026-10-01", "2026-10-31")
            assert report["flow_runs"]["total"] == published[0]
        finally:
            secured.change_password(PASSWORD)
            system.kill_workers()
