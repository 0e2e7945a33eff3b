"""Builds the peer in Java with Maven, and tells how it is run."""

import shutil
import subprocess
from pathlib import Path

_PROJECT = Path(__file__).with_name("kafka_streams")


class NotBuilt(Exception):
    """Maven could not build the peer; its text is one sentence."""


def command() -> list[str]:
    """Return the command that runs the Kafka Streams peer, built first. Raises NotBuilt."""
    for program in ("mvn", "javac", "java"):
        if shutil.which(program) is None:
            raise NotBuilt(f"{program} is not on the PATH")
    goals = ("compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
    run = subprocess.run(
        ["mvn", "-q", "-B", "-Dstyle.color=never", "-f", str(_PROJECT / "pom.xml"), *goals],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=900,
    )  # fmt: skip
    if run.returncode:
        errors = [line for line in run.stdout.splitlines() if "ERROR" in line]
        raise NotBuilt((errors or ["Maven gave no reason"])[0])
    target = _PROJECT / "target"
    return ["java", "-Xmx1g", "-cp", f"{target}/classes:{target}/dependency/*", "Counts"]
