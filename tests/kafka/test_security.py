"""Every client of the product logs in to a real Kafka in every way that the settings have."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner

from interaction_usage import settings
from interaction_usage.commands.main import main
from interaction_usage.servers.redis_server import redis_server
from stream_app import clients
from stream_app.broker import admin_client, ensure_topics, topic_partitions
from stream_app.dead_letter_reader import messages
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
            assert "match the topics exactly" in usage("rebuild", "--verify").output
            listed = json.loads(usage("dead-letters", "list", "--json").stdout)
            assert listed["counts"]["malformed"] >= 1
            usage("dead-letters", "replay", "--all")
            assert "Counts" in usage("doctor").output
        finally:
            system.kill_workers()
