"""docker-compose.yml and the Dockerfile: valid, pinned, and true to the commands and settings."""

import json
import re
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from commands.main import main
from servers.apache_kafka import kafka_version
from settings import VARIABLES

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def test_it_is_valid_by_the_compose_specification():
    """The file validates against the specification's own JSON schema."""
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
    """Neither Kafka nor Redis, which ask for no password, is published on the network."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["kafka", "redis", "worker", "dashboard"])
def test_a_service_that_stays_is_watched_and_restarted(name: str):
    """Each has a healthcheck, comes back by itself, and is given time to end."""
    assert {"healthcheck", "stop_grace_period"} <= set(SERVICES[name])
    assert SERVICES[name]["restart"] == "unless-stopped"


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
    """Every foreign image names a version to the patch, in both files."""
    images = [s["image"] for s in SERVICES.values() if "build" not in s]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert len(images) == 4
    for image in images:
        assert re.search(r":\d+\.\d+\.\d+(-[a-z]+)*$", image), image


def test_the_container_runs_without_rights():
    """The last stage ends as a user that is not root."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)", last, re.M)
    assert users
    assert users[-1] not in ("root", "0")
