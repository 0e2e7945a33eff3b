"""Whatever is a secret in the environment, no command prints it."""

import os
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import redis
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from interaction_usage import settings
from interaction_usage.commands.main import main
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.settings import VARIABLES
from interaction_usage.store import keys
from tests.commands.conftest import NOWHERE
from tests.support.redis_users import PASSWORD, create_users, url_of
from tests.support.system import USAGE

#: Every command that reads the settings, as it is called.
COMMANDS = [
    ["worker"], ["worker", "--alive"], ["send", "-"], ["lag"], ["watch", "acme"], ["serve"],
    ["export", "acme", "--from", "2026-10-01", "--to", "2026-10-02"],
    ["export", "--all", "--from", "2026-10-01", "--to", "2026-10-02", "-d", "never"],
    ["token", "list"], ["token", "create", "--operator"], ["token", "revoke", "x"],
    ["account", "list"], ["account", "show", "acme"], ["account", "set", "acme"],
    ["dead-letters", "list"], ["dead-letters", "replay", "--all"], ["rebuild", "--verify"],
]  # fmt: skip

#: Those that ask Redis, and first.
OF_REDIS = [
    command
    for command in COMMANDS
    if command[0] in ("watch", "serve", "export", "token", "account", "rebuild")
]

#: A secret: nowhere else in what is printed, with the characters that divide a URL.
SECRETS = st.text("aZ1/?#&=:@[]%+ ä\\'\"", max_size=10).map(lambda text: f"q7{text}/x9")

WRONG = [
    "{}", "redis://:{}@h", "redis://u:{}@h:70000", "redis://h?foo={}", "rediss://h?ssl_keyfile={}",
    "redis://h/{}", "u:{}@kafka:9092",
]  # fmt: skip

_quickly = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def printed(command: list[str], environment: dict[str, str]) -> str:
    """Run a command that must fail; return everything it says."""
    clean: dict[str, str | None] = dict.fromkeys(VARIABLES)
    done = CliRunner().invoke(
        main, command, env={**clean, "USAGE_ENV_FILE": "", **environment}, input=""
    )
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    return done.output


def is_wrong(environment: dict[str, str]) -> bool:
    """Tell whether there is anything to say; some commands would start otherwise, and stay."""
    try:
        settings.read(environment)
    except settings.InvalidSettingError:
        return True
    return "USAGE_ENV_FILE" in environment


@given(
    st.sampled_from(COMMANDS),
    st.sampled_from([*VARIABLES, "USAGE_REDIS_PASSWORD", "USAGE_SASL"]),
    st.sampled_from(WRONG),
    SECRETS,
)
@_quickly
def test_what_is_wrong_with_a_setting_is_said_without_the_value(
    command: list[str], variable: str, shape: str, secret: str
) -> None:
    """By every command, of every setting, and of those that do not exist."""
    environment = {variable: shape.format(secret)}
    assume(is_wrong(environment))  # a name of a user may be anything
    said = printed(command, environment)
    # One that needs another names that, which is of the same server.
    assert "_".join(variable.split("_")[:2]) in said
    assert "q7" not in said
    assert secret not in said


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """Yield the place of a Redis that asks for a password."""
    with redis_server() as running:
        with redis.Redis.from_url(running.url) as admin:
            admin.config_set("requirepass", "another")
        yield f"127.0.0.1:{running.port}"


@given(st.sampled_from(OF_REDIS), SECRETS, st.booleans())
@_quickly
def test_a_password_that_redis_does_not_take_is_not_shown(
    locked: str, command: list[str], secret: str, is_there: bool
) -> None:
    """Whether somebody answers at the address or nobody."""
    assume(is_there or command != ["serve"])  # which starts, and waits for Redis
    place = locked if is_there else NOWHERE
    url = f"redis://{quote(secret, safe='')}:{quote(secret, safe='')}@{place}/0"
    said = printed(command, {"USAGE_REDIS": url, "USAGE_KAFKA": NOWHERE})
    assert f"Redis at {place}/0" in said
    assert ("does not accept the user name or password" in said) is is_there
    assert "q7" not in said
    assert quote(secret, safe="") not in said


def test_a_worker_with_a_wrong_password_ends_with_a_sentence(locked: str, broker: str) -> None:
    """At once, and with an exit code that whoever watches it can act upon."""
    environment = {"USAGE_REDIS": f"redis://:hunter2@{locked}/0", "USAGE_KAFKA": broker}
    done = subprocess.run(
        [*USAGE, "worker"], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Redis does not accept the user name or password in USAGE_REDIS" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_worker_whose_rights_are_taken_away_ends_with_a_sentence(broker: str) -> None:
    """Also in the middle of its work, and without a traceback of what was foreseen."""
    with redis_server() as server:
        create_users(server)
        with redis.Redis.from_url(url_of(server, "admin")) as admin:
            worker = subprocess.Popen(
                [*USAGE, "worker"],
                stderr=subprocess.PIPE, text=True,
                env={**os.environ, "USAGE_REDIS": url_of(server, "worker"), "USAGE_KAFKA": broker},
            )  # fmt: skip
            try:
                deadline = time.monotonic() + 60
                while not admin.exists(keys.WORKERS):
                    assert time.monotonic() < deadline, "the worker never sent a heartbeat"
                    time.sleep(0.05)
                admin.execute_command("ACL", "SETUSER", "worker", "-get")
                _, said = worker.communicate(timeout=60)
            finally:
                worker.kill()
    assert worker.returncode == 1
    assert "The worker ends: the Redis user may not run GET" in said
    assert "NoPermissionError" not in said
    assert PASSWORD not in said
