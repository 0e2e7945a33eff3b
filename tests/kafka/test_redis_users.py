"""Every command with the rights in Redis that the documentation asks for, and no others."""

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
from click.testing import CliRunner

from interaction_usage.commands.main import main
from tests.support.event_lines import flow
from tests.support.redis_users import PASSWORD, create_users, refusals, url_of
from tests.support.system import USAGE, System

MONTH = ("--from", "2026-10-01", "--to", "2026-10-31", "--tz", "UTC")


def test_every_command_does_the_work_with_own_user_of_redis(
    system: System, eventually: Callable[..., None]
) -> None:
    """Worker, rebuild, reports, dashboard, accounts, tokens; Redis refused nothing to anybody."""
    create_users(system.redis)  # type: ignore[arg-type]
    said: list[bytes] = []

    def usage(user: str, *arguments: str, stdin: bytes | None = None) -> bytes:
        url = url_of(system.redis, user)  # type: ignore[arg-type]
        environment = {**system.environment, "USAGE_REDIS": url}
        done = CliRunner().invoke(main, arguments, env=environment, input=stdin)
        assert done.exit_code == 0, done.output + system.log()
        said.extend([done.stdout_bytes, done.stderr_bytes])
        return done.stdout_bytes

    system.worker_variables["USAGE_REDIS"] = url_of(system.redis, "worker")  # type: ignore[arg-type]
    system.start_worker()
    lines = [flow(f"{n}", subject="acme", time="2026-10-01T12:00:00Z") for n in range(500)]
    usage("reader", "send", "-", stdin=b"\n".join(lines))
    usage("reader", "lag", "--until-zero", "60")

    usage("operator", "account", "set", "acme", "--name", "Acme Ltd")
    operator = usage("operator", "token", "create", "--operator").split()[-1].decode()
    usage("operator", "token", "create", "--account", "acme")
    one, _ = json.loads(usage("reader", "token", "list", "--json"))
    usage("reader", "account", "show", "acme")
    usage("reader", "account", "list")
    report = usage("reader", "export", "acme", *MONTH, "--format", "json", "-o", "-")
    assert json.loads(report)["flow_runs"]["total"] == 500
    usage("reader", "export", "--all", *MONTH, "-d", str(system.folder / "all"))
    assert json.loads(usage("reader", "watch", "acme", "--once", "--json"))["account"] == "acme"

    assert usage("operator", "reports", "issue", "acme", "--month", "2020-01") == b"acme-000001\n"
    usage("reader", "reports", "list")
    usage("reader", "reports", "show", "acme-000001")
    usage("reader", "reports", "preview", "acme", "--month", "2020-02")

    usage("worker", "rebuild", "--verify")
    usage("worker", "rebuild")
    report = usage("reader", "export", "acme", *MONTH, "--format", "json", "-o", "-")
    assert json.loads(report)["flow_runs"]["total"] == 500
    log = system.workers[0].log
    eventually(lambda: "The rollups were replaced" in log.read_text(), "the worker switches")
    serve(system, operator)
    usage("operator", "token", "revoke", one["id"])
    usage("operator", "gaps", "accept", "--all", "--reason", "none")
    assert usage("reader", "gaps", "list", "--json").strip() == b"[]"

    assert refusals(system.redis) == []  # type: ignore[arg-type]
    assert PASSWORD.encode() not in b"".join([*said, log.read_bytes()])
    assert b"s3cr%2Fet" not in b"".join([*said, log.read_bytes()])


def serve(system: System, token: str) -> None:
    """Have a browser log in to the dashboard, look at an account, and log out again."""
    url = url_of(system.redis, "dashboard")  # type: ignore[arg-type]
    command = [*USAGE, "serve", "--port", "0"]
    environment = {**system.environment, "USAGE_REDIS": url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            base = server.stdout.readline().split()[-1]
            with httpx.Client(base_url=base, follow_redirects=True, timeout=30) as browser:
                look_around(browser, token, base.rstrip("/"))
        finally:
            server.terminate()
    assert server.returncode == 0


def look_around(browser: httpx.Client, token: str, origin: str) -> None:
    """Log in, at the second try, read a live page and a report, change the account, log out."""
    headers = {"Origin": origin}
    assert browser.post("/login", data={"token": "x"}, headers=headers).status_code in (401, 403)
    page = browser.post("/login", data={"token": token}, headers=headers)
    assert page.status_code == 200
    key = re.search(r'form[-_]key"[^>]*(?:content|value)="([0-9a-f]+)"', page.text)
    assert key, page.text[:2000]
    assert "acme" in browser.get("/api/accounts").text
    answer = browser.get("/api/accounts/acme/live")
    assert answer.status_code == 200, answer.text
    changed: Any = browser.put(
        "/api/accounts/acme", json={"name": "Acme"}, headers={**headers, "X-Form-Key": key[1]}
    )
    assert changed.status_code in (200, 204), changed.text
    browser.post("/logout", data={"form_key": key[1]}, headers=headers)
