"""Lighthouse's four categories, at least 95 each. `make lighthouse` runs it: it needs npm.

What it measures depends on what else the machine does, so a page has three tries.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interaction_usage.servers.redis_server import redis_server
from tests.support import vector_files
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
ENOUGH = 0.95
TRIES = 3
PAGES = ("/", "/accounts/acme?from=2026-09-20&to=2026-10-19", "/accounts/acme/live")


@pytest.fixture(scope="module")
def served() -> Iterator[Dashboard]:
    """Yield an open dashboard over a vector."""
    with redis_server() as store:
        fill(store.url, [line for _, line in vector_files.lines("basics")])
        with dashboard(store.url, is_open=True) as running:
            yield running


def scores(address: str, folder: Path) -> dict[str, float]:
    """Return what Lighthouse gives the page at *address*, on a desktop."""
    report = folder / "report.json"
    flags = "--headless=new --no-sandbox --disable-gpu"
    command = [
        os.environ["LIGHTHOUSE"], address, "--preset=desktop", "--quiet", f"--chrome-flags={flags}",
        f"--only-categories={','.join(CATEGORIES)}", "--output=json", f"--output-path={report}",
        "--max-wait-for-load=15000",
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=120)
    found = json.loads(report.read_text("utf-8"))["categories"]
    return {name: found[name]["score"] for name in CATEGORIES}


@pytest.mark.parametrize("path", PAGES)
def test_lighthouse_finds_little(served: Dashboard, path: str, tmp_path: Path) -> None:
    """Fast, without barriers, as browsers want it, and with a description."""
    best = dict.fromkeys(CATEGORIES, 0.0)
    for _ in range(TRIES):
        found = scores(f"{served.url}{path}", tmp_path)
        best = {name: max(best[name], score) for name, score in found.items()}
        if min(best.values()) >= ENOUGH:
            break
    print(path, best)
    assert min(best.values()) >= ENOUGH, best
