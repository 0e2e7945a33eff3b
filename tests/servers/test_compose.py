"""docker-compose.yml and the Dockerfile: valid, pinned, and true to the commands and settings."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from redis.exceptions import AuthenticationError

from interaction_usage import settings
from interaction_usage.commands.main import main
from interaction_usage.servers.kafka_files import kafka_version
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.settings import VARIABLES
from interaction_usage.store.client import connect
from tests.support.system import USAGE

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PASSWORD = "3f9a0c52e1"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def test_it_is_valid_by_the_compose_specification():
    """The file validates against the specification's own JSON schema."""
    import jsonschema  # here, for it takes seconds that the collection of other tests would pay

    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


def test_every_variable_is_a_setting():
    """Each USAGE_… given to a container is one that the settings read."""
    used = {
        name
        for service in SERVICES.values()
        for name in service.get("environment", {})
        if name.startswith("USAGE_")
    }
    assert {"USAGE_KAFKA", "USAGE_REDIS"} <= used <= set(VARIABLES)


def test_every_command_exists():
    """Each `usage …` that a container runs, or a comment tells to run, is a command."""
    used = set(re.findall(r"run --rm (?:--no-TTY )?usage ([a-z-]+)", TEXT))
    for service in SERVICES.values():
        for words in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            if "usage" in words:
                used.add(words[words.index("usage") + 1])
    assert {"worker", "export"} <= used
    assert used <= set(main.list_commands(click.Context(main)))


def test_ports_are_open_to_this_machine_only():
    """Nothing is published on the network: Kafka, for one, asks for no password."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["kafka", "redis", "worker", "dashboard"])
def test_a_service_that_stays_is_watched_and_restarted(name: str):
    """Each has a healthcheck, comes back by itself, and is given time to end."""
    assert {"healthcheck", "stop_grace_period"} <= set(SERVICES[name])
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_a_healthcheck_asks_neither_kafka_nor_redis():
    """Else each worker would be restarted because Kafka is, and none of them could help it."""
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", "usage", "worker", "--alive"]
    assert "/healthz" in SERVICES["dashboard"]["healthcheck"]["test"][-1]


def test_servers_keep_their_data_in_volumes():
    """Kafka and Redis each write to a named volume, and Redis evicts nothing."""
    for name in ("kafka", "redis"):
        (volume,) = SERVICES[name]["volumes"]
        assert volume.split(":")[0] in COMPOSE["volumes"]
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in SERVICES["kafka"]["volumes"][0]
    assert {"--appendonly", "noeviction"} <= set(SERVICES["redis"]["command"])


def test_kafka_is_the_version_that_is_tested():
    """The image has the version of servers/kafka-pom.xml, which the real-broker tests run."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_images_are_pinned():
    """Every foreign image names a version to the patch, and maybe a digest, in both files."""
    images = [s["image"] for s in SERVICES.values() if "build" not in s]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert len(images) == 4
    for image in images:
        assert re.search(r":\d+\.\d+\.\d+(-[a-z]+)*(@sha256:[0-9a-f]{64})?$", image), image


def test_the_container_runs_without_rights():
    """The last stage ends as a user that is not root."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)", last, re.M)
    assert users
    assert users[-1] not in ("root", "0")


def filled_in(text: str) -> str:
    """Return *text* as compose passes it on where the password is set."""
    return re.sub(r"\$\{REDIS_PASSWORD(?::\?[^}]+)?\}", PASSWORD, text)


def test_nothing_starts_without_a_password():
    """Compose itself refuses then; and none stands in the file."""
    assert re.search(r"\$\{REDIS_PASSWORD:\?[^}]+\}", TEXT)
    assert "REDIS_PASSWORD=hunter" not in TEXT
    assert ".env" in (REPOSITORY / ".gitignore").read_text().split()


def test_redis_asks_for_the_password_that_the_others_have(
    tmp_path: Path, need: Callable[[str, str], str]
):
    """A server with this very command line: its healthcheck passes, and the worker's URL works."""
    cli = need("redis-cli", "the healthcheck of docker-compose.yml")
    command = [filled_in(word) for word in SERVICES["redis"]["command"]]
    assert command[0] == "redis-server"
    url = settings.read(
        {"USAGE_REDIS": filled_in(SERVICES["worker"]["environment"]["USAGE_REDIS"])}
    ).redis
    with redis_server(tmp_path, extra=command[1:], password=PASSWORD) as server:
        here = url.replace("@redis:6379", f"@127.0.0.1:{server.port}")
        with connect(here) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with connect(server.url) as client, pytest.raises(AuthenticationError):
            client.ping()
        ping = [cli, "-p", str(server.port), *SERVICES["redis"]["healthcheck"]["test"][2:]]
        variables = SERVICES["redis"]["environment"]
        known = {name: filled_in(value) for name, value in variables.items()}
        assert run(ping, env=os.environ | known) == 0
        assert run(ping, env=dict(os.environ)) != 0
        environment = os.environ | {"USAGE_REDIS": here}
        assert (
            run(
                [*USAGE, "account", "list"],
                env=environment,
            )
            == 0
        )


def run(command: list[str], env: dict[str, str]) -> int:
    """Run *command*; return its exit code."""
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode
