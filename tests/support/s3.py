"""moto's S3 server, which forgets everything when it ends."""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from interaction_usage.servers.ports import free_port


class S3Server(NamedTuple):
    """A server with one bucket."""

    port: int
    bucket: str = "s3://archives"

    def variables(self, port: int | None = None) -> dict[str, str]:
        """Return the environment of its clients, which may reach it by another port."""
        return {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
        }  # fmt: skip


@contextmanager
def s3_server(moto: str) -> Iterator[S3Server]:
    """Run the program *moto*, and yield the server.

    It is in an environment of its own: it needs another version of python-dateutil than Faust.
    """
    made = S3Server(free_port())
    server = subprocess.Popen(
        [moto, "-H", "127.0.0.1", "-p", str(made.port)], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _create(f"http://127.0.0.1:{made.port}/archives", time.monotonic() + 60)
        yield made
    finally:
        server.terminate()
        server.wait(10)


def _create(address: str, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="PUT")):
                return
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
