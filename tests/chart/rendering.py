"""The chart as helm renders it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
MINIMAL = CHART / "examples" / "minimal.yaml"

Object = dict[str, Any]


def find_helm() -> str | None:
    """Return the helm that `make chart` names, the one on the PATH, or the one it built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted(map(str, (cache / "usage").glob("helm-*/helm")))
    return os.environ.get("HELM") or shutil.which("helm") or (built[-1] if built else None)


def run_helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run helm, whatever comes of it."""
    command = [find_helm() or "helm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def render(*arguments: str | Path, chart: Path = CHART) -> list[Object]:
    """Return the objects that a release called usage consists of."""
    done = run_helm("template", "usage", chart, "--namespace", "metering", *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def only(objects: list[Object], kind: str, name: str = "") -> Object:
    """Return the one object of that kind, and of that name if one is given."""
    (found,) = (
        each for each in objects if each["kind"] == kind and name in ("", each["metadata"]["name"])
    )
    return found


def pods(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield the labels and the spec of each pod that something starts."""
    for each in objects:
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield template["metadata"]["labels"], template["spec"]


def is_selected(labels: Object, selector: Object) -> bool:
    """Tell whether a selector, or its matchLabels, takes an object with *labels*."""
    wanted = selector.get("matchLabels", selector)
    return bool(wanted) and wanted.items() <= labels.items()
