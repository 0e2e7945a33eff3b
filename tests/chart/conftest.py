"""What the tests of the chart share: each example as helm renders it."""

from pathlib import Path

import pytest

from tests.chart.rendering import EXAMPLES, MINIMAL, Object, render

#: Everything that the examples leave off.
EVERYTHING = (
    "--values", str(MINIMAL), "--set", "upgrade.enabled=true,monthEnd.enabled=true",
    "--set", "monthEnd.existingClaim=reports,serviceAccount.name=there,dashboard.drainSeconds=0",
    "--set", "dashboard.ingress.enabled=true,dashboard.ingress.host=usage.example.com",
    "--set", "worker.nodeSelector.disk=ssd,worker.priorityClassName=high,keda.enabled=true",
    "--set-json", 'worker.topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", '
    '"whenUnsatisfiable": "DoNotSchedule"}]',
    "--set-json", 'extraEnv=[{"name": "USAGE_GROUP", "valueFrom": '
    '{"configMapKeyRef": {"name": "group", "key": "name"}}}]',
    "--set-json", 'keda.triggers=[{"type": "prometheus", "metadata": {"query": "1"}}]',
)  # fmt: skip


@pytest.fixture(
    scope="session", params=[*EXAMPLES, EVERYTHING],
    ids=lambda each: each.stem if isinstance(each, Path) else "everything",
)  # fmt: skip
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """Return what each example is rendered to."""
    if isinstance(request.param, Path):
        return render("--values", request.param)
    return render(*request.param)
