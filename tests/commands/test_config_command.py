"""`usage config`: what is used, where it comes from, and everything that is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from interaction_usage.commands.main import main
from interaction_usage.settings import VARIABLES

Config = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return a function that runs `usage config` in a folder with a `.env`, with some settings."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, filed: str = "", **environment: str) -> Result:
        (tmp_path / ".env").write_text(filed)
        clean: dict[str, Any] = dict.fromkeys(VARIABLES)
        return CliRunner().invoke(main, ["config", *arguments], env={**clean, **environment})

    return run


def as_json(done: Result) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the whole answer, and its settings by variable."""
    answer = json.loads(done.stdout)
    return answer, {each["variable"]: each for each in answer["settings"]}


def test_each_setting_has_a_value_and_an_origin(config: Config, tmp_path: Path) -> None:
    """The environment, the file, the default; a secret in another file."""
    (tmp_path / "password").write_text("s3cret")
    done = config(
        "--json",
        filed=f"USAGE_PARTITIONS=3\nUSAGE_REDIS_PASSWORD_FILE={tmp_path}/password\nREDIS=1\n",
        USAGE_GROUP="mine",
    )
    assert done.exit_code == 0, done.output
    answer, found = as_json(done)
    assert answer["valid"] is True
    assert answer["problems"] == []
    assert (found["USAGE_GROUP"]["value"], found["USAGE_GROUP"]["source"]) == (
        "mine", "environment",
    )  # fmt: skip
    assert (found["USAGE_PARTITIONS"]["value"], found["USAGE_PARTITIONS"]["source"]) == (
        "3", "file",
    )  # fmt: skip
    assert found["USAGE_REPLICATION"]["source"] == "default"
    secret = found["USAGE_REDIS_PASSWORD"]
    assert (secret["value"], secret["set"], secret["source"]) == (None, True, "file")
    assert secret["given_as"] == "USAGE_REDIS_PASSWORD_FILE"
    assert {f"{name}_FILE" for name in found} | set(found) >= set(VARIABLES)


def test_no_secret_is_shown(config: Config) -> None:
    """Neither a password of its own nor the one in a URL, whether the settings are valid or not."""
    given = {
        "USAGE_REDIS": "rediss://me:s3cret@h:1/2?ssl_password=s3cret&ssl_check_hostname=false",
        "USAGE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "USAGE_KAFKA_SASL_MECHANISM": "PLAIN",
        "USAGE_KAFKA_SASL_USERNAME": "meter", "USAGE_KAFKA_SASL_PASSWORD": "s3cret",
    }  # fmt: skip
    for extra in ({}, {"USAGE_PARTITIONS": "s3cret", "USAGE_s3": "1"}):
        for option in ((), ("--json",), ("--all",)):
            done = config(*option, **given, **extra)
            assert done.exit_code == bool(extra)
            assert "s3cret" not in done.output
    shown = " ".join(config(**given).stdout.split())
    assert "rediss://h:1/2?ssl_check_hostname=false (with a login, not shown)" in shown
    assert "USAGE_KAFKA_SASL_PASSWORD set, not shown environment" in shown


def test_everything_that_is_wrong_is_listed(config: Config) -> None:
    """Not only the first; each on a line of its own."""
    done = config(
        filed="USAGE_REPLICATION=0\nUSAGE_LOG_LEVEL=loud\n",
        USAGE_PARTITIONS="many", USAGE_KAFKA="nowhere", USAGE_KAFKAS="x",
        USAGE_REDIS_SSL_CA_LOCATION="/x",
    )  # fmt: skip
    assert done.exit_code == 1
    named = [line.split()[1] for line in done.stderr.splitlines()]
    assert named == [
        "unknown", "USAGE_KAFKA", "USAGE_PARTITIONS", "USAGE_REPLICATION", "USAGE_LOG_LEVEL",
        "USAGE_REDIS_SSL_CA_LOCATION",
    ]  # fmt: skip
    assert "invalid" in done.stdout
    answer, found = as_json(config("--json", USAGE_PARTITIONS="many"))
    assert answer["valid"] is False
    assert [each["variable"] for each in answer["problems"]] == ["USAGE_PARTITIONS"]
    assert found["USAGE_PARTITIONS"]["value"] is None


def test_a_broken_file_is_one_of_the_problems(config: Config) -> None:
    """What the environment says is shown and checked nevertheless."""
    done = config(filed="USAGE_GROUP", USAGE_PARTITIONS="many")
    assert done.exit_code == 1
    assert ".env, line 1: must be NAME=value" in done.stderr
    assert "USAGE_PARTITIONS must be" in done.stderr
