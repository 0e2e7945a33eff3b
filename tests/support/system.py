"""The whole system for tests: Apache Kafka, Redis, workers and commands as processes."""

import asyncio
import json
import os
import subprocess
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from confluent_kafka import Producer

from interaction_usage.commands.main import main
from interaction_usage.prefixes import REDIS_VARIABLE, TOPIC_VARIABLE
from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.child import Child
from interaction_usage.servers.redis_cluster import RedisCluster
from interaction_usage.servers.redis_server import RedisServer
from interaction_usage.store.client import connect
from tests.support.command_process import CommandProcess
from tests.support.forked import USAGE, ForkedChild
from tests.support.redis_sentinel import WatchedRedis

#: Commands that run as processes; the others run in this one, which saves their start.
_PROCESSES = {"worker", "serve", "dev", "demo"}


@dataclass
class System:
    """A broker and a Redis of its own, and what runs against them."""

    kafka: ApacheKafka
    redis: RedisServer | RedisCluster | WatchedRedis
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    worker_variables: dict[str, str] = field(default_factory=dict)  #: of the workers alone
    workers: list[Child] = field(default_factory=list)
    group: str = field(default_factory=lambda: f"usage-{uuid.uuid4().hex}")
    _commands: tuple[dict[str, str], CommandProcess] | None = None  #: with the prefixes it has

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of this system."""
        answer = {"USAGE_KAFKA": self.kafka.bootstrap, "USAGE_REDIS": self.redis.url}
        answer |= {"USAGE_GROUP": self.group, "USAGE_PARTITIONS": "4"}
        return {**os.environ, **answer, **self.variables}

    def start_worker(self, command: Sequence[str] = (*USAGE, "worker")) -> Child:
        """Start one more worker."""
        worker = ForkedChild("The worker", self.folder / f"worker-{len(self.workers)}.log")
        answer = {**self.environment, **self.worker_variables}
        worker.start(command, lambda: True, environment=answer)
        self.workers.append(worker)
        return worker

    def usage(
        self, *arguments: str, stdin: bytes | None = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, and check its exit code unless that is None."""
        is_main = threading.current_thread() is threading.main_thread()
        # A command may run a loop of its own, which it cannot beside a browser's.
        is_free = is_main and asyncio._get_running_loop() is None
        prefixes = {
            name: self.variables[name]
            for name in (TOPIC_VARIABLE, REDIS_VARIABLE)
            if name in self.variables
        }
        if prefixes and arguments[0] not in _PROCESSES:
            done = self._command_process(prefixes).run(arguments, stdin, self.environment)
        elif arguments[0] in _PROCESSES or not is_free:
            done = subprocess.run(
                [*USAGE, *arguments], input=stdin, capture_output=True, env=self.environment,
                timeout=200, check=False,
            )  # fmt: skip
        else:
            done = _run_here(arguments, stdin, self.environment)
        assert code is None or done.returncode == code, done.stderr.decode() + self.log()
        return done

    def _command_process(self, prefixes: dict[str, str]) -> CommandProcess:
        """Return the process for commands that was started with *prefixes*."""
        if self._commands is None or self._commands[0] != prefixes:
            self._end_commands()
            self._commands = prefixes, CommandProcess(self.environment)
        return self._commands[1]

    def _end_commands(self) -> None:
        if self._commands is not None:
            self._commands[1].end()
            self._commands = None

    def kill_workers(self) -> None:
        """End the workers and the process for commands at once, when a test is over."""
        self._end_commands()
        for worker in self.workers:
            worker.kill()

    def catch_up(self, seconds: int = 60) -> None:
        """Wait until every published event is counted or refused."""
        self.usage("lag", "--until-zero", str(seconds))

    def report(
        self, account: str, first: str, last: str, *, tz: str = "UTC", as_of: str | None = None
    ) -> dict[str, Any]:
        """Return the numbers of the report that `usage export` writes as JSON."""
        arguments = ["export", account, "--from", first, "--to", last, "--tz", tz]
        arguments += ["--as-of", as_of] if as_of else []
        return _numbers(self.usage(*arguments, "--format", "json", "-o", "-").stdout)

    def report_here(
        self, account: str, first: str, last: str, *, tz: str = "UTC", as_of: str
    ) -> dict[str, Any]:
        """Return the same report, from the command run in this process."""
        arguments = ["export", account, "--from", first, "--to", last, "--tz", tz]
        arguments += ["--as-of", as_of, "--format", "json", "-o", "-"]
        done = CliRunner().invoke(main, arguments, env=self.environment)
        assert done.exit_code == 0, done.output
        return _numbers(done.stdout)

    def publish(self, records: Sequence[tuple[str, bytes | None, bytes | None, Any]]) -> None:
        """Publish (topic, key, value, headers) with a plain producer; every one acknowledged."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 5})
        failed: list[str] = []
        for topic, key, value, headers in records:
            producer.produce(
                topic, value, key, headers=headers,
                on_delivery=lambda error, _: failed.append(str(error)) if error else None,
            )  # fmt: skip
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not failed

    def dead_letters(self) -> dict[str, Any]:
        """Return what `usage dead-letters list` says."""
        answer: dict[str, Any] = json.loads(
            self.usage("dead-letters", "list", "--json", "--limit", "1000").stdout
        )
        return answer

    def log(self) -> str:
        """Return what the workers wrote."""
        return "\n".join(worker.log.read_text() for worker in self.workers)

    def last_words(self, lines: int = 15) -> str:
        """Return the last lines that each worker wrote."""
        answer = [
            f"--- {worker.log.name}, {'alive' if worker.alive else 'ended'}\n"
            + "\n".join(worker.log.read_text(errors="replace").splitlines()[-lines:])
            for worker in self.workers
        ]
        return "\n".join(answer)

    def client(self) -> Any:
        """Return a client of its Redis."""
        return connect(self.redis.url)


def _numbers(report: str | bytes) -> dict[str, Any]:
    """Return the report in JSON without what it says of itself, which changes by the second."""
    answer: dict[str, Any] = json.loads(report)
    del answer["completeness"]
    return answer


def _run_here(
    arguments: Sequence[str], stdin: bytes | None, environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in this process, as if it were one of its own."""
    result = CliRunner().invoke(main, arguments, input=stdin, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(
        list(arguments), result.exit_code, result.stdout_bytes, result.stderr_bytes
    )
