"""The Helm chart: valid for Kubernetes, and true to the commands and settings."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from interaction_usage import settings
from interaction_usage.commands.main import main
from interaction_usage.dashboard.probes import ALIVE_PATH, READY_PATH
from interaction_usage.settings import VARIABLES
from tests.chart.rendering import (
    CHART,
    EXAMPLES,
    MINIMAL,
    ROOT,
    Object,
    is_selected,
    only,
    pods,
    render,
    run_helm,
)
from tests.chart.schemas import problems

pytestmark = pytest.mark.chart

#: The oldest version that Chart.yaml allows, and a new one.
KUBERNETES = ("1.27", "1.37")

MONTH_END = CHART / "examples" / "month-end.yaml"
KEDA = CHART / "examples" / "keda.yaml"
ARCHIVE = CHART / "examples" / "archive.yaml"
SECURED = CHART / "examples" / "secured.yaml"


@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_object_is_valid(objects: list[Object], kubernetes: str) -> None:
    """By Kubernetes' own schemas in the strict form, and those of the custom resources."""
    assert objects
    for each in objects:
        assert problems(each, kubernetes) == [], f"{each['kind']} {each['metadata']['name']}"


def test_what_is_not_valid_is_found() -> None:
    """A misspelt member, a wrong type, a missing one, in Kubernetes' objects and in KEDA's."""
    rendered = render("--values", KEDA)
    worker, scaled = only(rendered, "Deployment", "usage-worker"), only(rendered, "ScaledObject")
    worker["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    worker["spec"]["selector"] = []
    scaled["spec"]["maxReplicas"] = 3
    del scaled["spec"]["triggers"]
    assert len(problems(worker, "1.27")) == 2
    assert len(problems(scaled, "1.27")) == 2


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_say(values: Path) -> None:
    """Each example passes `helm lint --strict`."""
    done = run_helm("lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_is_the_product_s() -> None:
    """Its appVersion, which names the image, is the version of the project."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert chart["description"] == project["description"]
    assert chart["kubeVersion"] == f">={KUBERNETES[0]}.0-0"


def test_every_value_is_in_the_schema_and_the_schema_has_no_other() -> None:
    """So that a value that does nothing is refused."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(_members(schema)) == {"global", *_values(values, schema)}


def _members(schema: Object) -> list[str]:
    return [
        name
        for key, part in schema["properties"].items()
        for name in (key, *(f"{key}.{each}" for each in _members(part) if "properties" in part))
    ] if "properties" in schema else []  # fmt: skip


def _values(values: Object, schema: Object) -> list[str]:
    found = []
    for key, value in values.items():
        part = schema["properties"].get(key, {})
        found.append(key)
        if "properties" in part:
            found += [f"{key}.{each}" for each in _values(value, part)]
    return found


# ------------------------------------------------------------------------------------- pods


def test_pods_have_no_rights(objects: list[Object]) -> None:
    """The Pod Security Standard "restricted", and more: nothing to write to, and no token."""
    found = list(pods(objects))
    assert found
    for _, pod in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 10001  # as in the image
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # they would be unknown settings
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert "memory" in container["resources"]["limits"]


def test_what_is_mounted_is_there(objects: list[Object]) -> None:
    """Each mount has its volume, each volume its mount, and /tmp can be written to."""
    for _, pod in pods(objects):
        for container in pod["containers"]:
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
            assert mounts["tmp"]["mountPath"] == "/tmp"
            writable = {name for name, mount in mounts.items() if not mount.get("readOnly")}
            assert writable <= {"tmp", "reports", "archive"}


def environment(pod: Object, folder: Path) -> dict[str, str]:
    """Return the variables of a pod's container, with the files of its volume in *folder*."""
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for item in next(iter(source.values()))["items"]:
                (folder / item["path"]).write_text("content")
    (container,) = pod["containers"]
    return {
        each["name"]: each.get("value", "usage").replace("/etc/usage/", f"{folder}/")
        for each in container["env"]
    }


def test_the_settings_of_every_pod_can_be_read(objects: list[Object], tmp_path: Path) -> None:
    """By the product itself: each variable is known, each value valid, each file mounted."""
    for _, pod in pods(objects):
        variables = environment(pod, tmp_path)
        config = settings.read(variables)
        assert {name for name in variables if name.startswith("USAGE_")} <= set(VARIABLES)
        for name, value in variables.items():
            if name.endswith(("_FILE", "_LOCATION")):
                assert Path(value).read_text() == "content", name
        assert not config.alive_file


def test_a_component_s_own_settings_and_files_count() -> None:
    """The dashboard logs in to Redis as another user than a worker does."""
    rendered = render("--values", SECURED)
    for name in ("worker", "dashboard"):
        (pod,) = (pod for labels, pod in pods(rendered) if name in labels.values())
        (container,) = pod["containers"]
        variables = {each["name"]: each.get("value") for each in container["env"]}
        assert variables["USAGE_REDIS_USERNAME"] == name
        assert variables["USAGE_KAFKA_SASL_USERNAME"] == "usage"
        (files,) = (each["projected"] for each in pod["volumes"] if each["name"] == "files")
        item = {"key": name, "path": "USAGE_REDIS_PASSWORD_FILE"}
        assert {"secret": {"name": "usage-redis", "items": [item]}} in files["sources"]


def test_every_command_can_be_run(objects: list[Object]) -> None:
    """Each is a command of `usage`, with options that it takes."""
    for _, pod in pods(objects):
        words = pod["containers"][0]["command"]
        if words[0] == "sh":
            words = re.search(r"exec (usage [^\n]*\\\n[^\n]*)", words[-1])[1].split()  # type: ignore[index]
            words = [word.replace("$month", "2026-10").strip('"') for word in words if word != "\\"]
        assert words[0] == "usage"
        command = main.get_command(click.Context(main), words[1])
        assert command is not None, words
        command.make_context(words[1], words[2:])


def test_a_worker_is_replaced_and_watched_as_it_must_be() -> None:
    """No worker beyond the number, time to finish, and a liveness that asks nobody else."""
    worker = only(render("--values", MINIMAL), "Deployment", "usage-worker")
    assert worker["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    pod = worker["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 30
    assert {"name": "USAGE_HEALTH_PORT", "value": "8081"} in pod["containers"][0]["env"]


def test_probes_ask_what_is_answered(objects: list[Object]) -> None:
    """Start and liveness whether the process lives, readiness whether it does its work."""
    watched = 0
    for labels, pod in pods(objects):
        (container,) = pod["containers"]
        if labels["app.kubernetes.io/component"] not in ("worker", "dashboard", "archive"):
            continue
        watched += 1
        (port,) = (each["name"] for each in container["ports"])
        for probe, path in (
            ("startupProbe", ALIVE_PATH), ("livenessProbe", ALIVE_PATH),
            ("readinessProbe", READY_PATH),
        ):  # fmt: skip
            assert container[probe]["httpGet"] == {"path": path, "port": port}
    assert watched


# ---------------------------------------------------------------------- what refers to what


def test_what_selects_pods_finds_them(objects: list[Object]) -> None:
    """Services, budgets and policies select pods of the release; a target of KEDA's exists."""
    labels = [found for found, _ in pods(objects)]
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    assert len(names) == len(objects)
    for each in objects:
        spec = each.get("spec", {})
        if each["kind"] == "ServiceMonitor":
            services = [one for one in objects if one["kind"] == "Service"]
            (service,) = (
                one for one in services if is_selected(one["metadata"]["labels"], spec["selector"])
            )
            ports = {port["name"] for port in service["spec"]["ports"]}
            assert {endpoint["port"] for endpoint in spec["endpoints"]} <= ports
        elif selector := spec.get("selector", spec.get("podSelector")):
            assert any(is_selected(found, selector) for found in labels), each
        if each["kind"] == "ScaledObject":
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in names
            for trigger in spec["triggers"]:
                if reference := trigger.get("authenticationRef"):
                    assert ("TriggerAuthentication", reference["name"]) in names


def test_a_closed_network_lets_through_what_is_named() -> None:
    """Out to names, Kafka and Redis; in to the dashboard and the metrics; nothing else."""
    rendered = render("--values", SECURED)
    every = only(rendered, "NetworkPolicy", "usage-all")["spec"]
    assert every["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in every
    assert [[port["port"] for port in rule["ports"]] for rule in every["egress"]] == [
        [53, 53],
        [9093, 6380],
    ]
    for name, sources in (("worker", 1), ("dashboard", 2)):
        (rule,) = only(rendered, "NetworkPolicy", f"usage-{name}")["spec"]["ingress"]
        assert len(rule["from"]) == sources


def test_objects_are_named_after_the_release() -> None:
    """Two releases in one namespace are in nobody's way."""
    done = run_helm("template", "acme-billing", CHART, "--values", MINIMAL)
    names = [each["metadata"]["name"] for each in yaml.safe_load_all(done.stdout) if each]
    assert all(name.startswith("acme-billing-usage") for name in names)


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "sets", "sentence"),
    [
        (MINIMAL, "settings.USAGE_KAFKA=", "settings.USAGE_KAFKA is missing"),
        (MINIMAL, "settings.USAGE_REDIS=", "settings.USAGE_REDIS is missing"),
        (
            MINIMAL, "settings.USAGE_REDIS=redis://:hunter2@redis/0",
            "settings.USAGE_REDIS has a password in it",
        ),
        (MINIMAL, "worker.settings.USAGE_REDIS_PASSWORD=hunter2", "worker.files.USAGE_REDIS_PASSW"),
        (MINIMAL, "settings.USAGE_KAFKA_SSL_CA_LOCATION=/ca", "in files.USAGE_KAFKA_SSL_CA_LOCATI"),
        (MINIMAL, "settings.USAGE_HEALTH_PORT=x", "settings.USAGE_HEALTH_PORT is not for values"),
        (MINIMAL, "settings.USAGE_PARTITIONS=24", "got number, want string"),  # it may be garbled
        (MINIMAL, "settings.REDIS=x", "'REDIS' does not match"),
        (MINIMAL, "files.USAGE_REDIS_PASSWORD_FILE.secret=a", "missing property 'key'"),
        (
            MINIMAL, "files.USAGE_REDIS_PASSWORD.secret=a,files.USAGE_REDIS_PASSWORD.key=b",
            "files.USAGE_REDIS_PASSWORD is not a variable that names a file",
        ),
        (
            MINIMAL, "worker.settings.USAGE_TOPIC_PREFIX=a.",
            "worker.settings.USAGE_TOPIC_PREFIX belongs to settings",
        ),
        (MINIMAL, "worker.replica=3", "additional properties 'replica' not allowed"),
        (MINIMAL, "worker.replicas=0", "/worker/replicas"),
        (MINIMAL, "dashboard.ingress.enabled=true", "/dashboard/ingress/host"),
        (MINIMAL, "networkPolicy.enabled=true", "networkPolicy.egress is empty"),
        (SECURED, "networkPolicy.dashboardFrom=null", "networkPolicy.dashboardFrom is empty"),
        (
            SECURED, "keda.enabled=true,settings.USAGE_KAFKA_SASL_MECHANISM=GSSAPI",
            "USAGE_KAFKA_SASL_MECHANISM must be",
        ),
        (KEDA, "keda.maxReplicas=13", "keda.maxReplicas is 13, and a topic has 12 partitions"),
        (KEDA, "keda.minReplicas=0", "/keda/minReplicas"),
        (KEDA, "keda.minReplicas=5,keda.maxReplicas=4", "keda.minReplicas is greater than"),
        (MONTH_END, "monthEnd.format=pdf", "/monthEnd/format"),
        (ARCHIVE, "archive.bucket=https://archive", "/archive/bucket"),
        (ARCHIVE, "settings.USAGE_ARCHIVE=/archive", "USAGE_ARCHIVE is not for values: archive."),
    ],
    ids=lambda each: each.stem if isinstance(each, Path) else each[:40],
)  # fmt: skip
def test_what_cannot_work_is_refused(values: Path, sets: str, sentence: str) -> None:
    """Before anything is installed, in words that name the value and show no secret."""
    done = run_helm("template", "usage", CHART, "--values", values, "--set", sets)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "hunter2" not in done.stderr


def test_a_url_with_a_password_comes_from_a_secret() -> None:
    """Where no file may hold it: `extraEnv` has what `settings` leaves out."""
    url = {"name": "USAGE_REDIS", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}}
    sets = ("--set", "settings.USAGE_REDIS=", "--set-json", f"extraEnv=[{json.dumps(url)}]")
    worker = only(render("--values", MINIMAL, *sets), "Deployment", "usage-worker")
    variables = worker["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [each for each in variables if each["name"] == "USAGE_REDIS"] == [url]


# -------------------------------------------------------------------------------------- KEDA


def test_keda_decides_how_many_workers_there_are() -> None:
    """The Deployment says no number, which `helm upgrade` would set back."""
    rendered = render("--values", KEDA)
    assert "replicas" not in only(rendered, "Deployment", "usage-worker")["spec"]
    spec = only(rendered, "ScaledObject")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 12)
    (trigger,) = spec["triggers"]
    assert "topic" not in trigger["metadata"]  # all of them together
    assert trigger["metadata"]["lagThreshold"] == "500000"
    assert trigger["metadata"]["consumerGroup"] == "usage"
    sets = ("--set", "settings.USAGE_TOPIC_PREFIX=staging.")
    (trigger,) = only(render("--values", KEDA, *sets), "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == "staging.usage"
    many = only(render("--values", KEDA, "--set", "keda.lagThreshold=2000000"), "ScaledObject")
    assert many["spec"]["triggers"][0]["metadata"]["lagThreshold"] == "2000000"


@pytest.mark.parametrize(
    ("mechanism", "name"),
    [("PLAIN", "plaintext"), ("SCRAM-SHA-256", "scram_sha256"), ("scram-sha-512", "scram_sha512")],
)
def test_keda_logs_in_as_the_workers_do(mechanism: str, name: str) -> None:
    """With the same user, password and authority, each from where the workers have it."""
    sets = ("--set", f"keda.enabled=true,settings.USAGE_KAFKA_SASL_MECHANISM={mechanism}")
    rendered = render("--values", SECURED, *sets)
    metadata = only(rendered, "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert (metadata["tls"], metadata["sasl"]) == ("enable", name)
    login = only(rendered, "TriggerAuthentication")["spec"]
    assert [each["parameter"] for each in login["env"]] == ["username"]
    assert login["secretTargetRef"] == [
        {"parameter": "password", "name": "usage-kafka", "key": "password"}
    ]
    assert login["configMapTargetRef"] == [
        {"parameter": "ca", "name": "private-ca", "key": "ca.crt"}
    ]


def test_keda_gets_tokens_where_the_workers_do() -> None:
    """The client of OAUTHBEARER, whose variables are in the worker's container."""
    rendered = render("--values", KEDA)
    login = only(rendered, "TriggerAuthentication")["spec"]
    (container,) = only(rendered, "Deployment", "usage-worker")["spec"]["template"]["spec"][
        "containers"
    ]
    variables = {each["name"] for each in container["env"]}
    assert {each["name"] for each in login["env"]} <= variables
    assert {each["parameter"] for each in login["env"]} == {
        "username", "oauthTokenEndpointUri", "scopes",
    }  # fmt: skip
    assert {each["parameter"] for each in login["secretTargetRef"]} == {"password", "ca"}


# ----------------------------------------------------------------------------- the archive


def archives(*values: str | Path) -> dict[str, tuple[Object, dict[str, Any]]]:
    """Return the pods that have the archive, with their variables, by component."""
    found = {}
    for labels, pod in pods(render("--values", ARCHIVE, *values)):
        (container,) = pod["containers"]
        variables = {each["name"]: each.get("value") for each in container["env"]}
        if "USAGE_ARCHIVE" in variables:
            found[labels["app.kubernetes.io/component"]] = (pod, variables)
    return found


def test_the_archive_in_s3_is_written_by_one_and_read_by_the_dashboard() -> None:
    """Both get the credentials out of the Secret; workers need none."""
    found = archives("--set", "archive.s3.endpoint=http://minio:9000")
    assert set(found) == {"archive", "dashboard"}
    for _, variables in found.values():
        assert variables["USAGE_ARCHIVE"] == "s3://usage-archive/production"
        assert variables["AWS_REGION"] == "eu-central-1"
        assert (variables["AWS_ENDPOINT_URL"], variables["AWS_ALLOW_HTTP"]) == (
            "http://minio:9000", "true",
        )  # fmt: skip
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(variables)
    rendered = render("--values", ARCHIVE)
    writer = only(rendered, "Deployment", "usage-archive")["spec"]
    assert (writer["replicas"], writer["strategy"]) == (1, {"type": "Recreate"})
    assert not [each for each in rendered if each["kind"] == "PersistentVolumeClaim"]
    without = archives("--set", "archive.s3.secret=")["archive"][1]
    assert "AWS_ACCESS_KEY_ID" not in without  # the service account's role


@pytest.mark.parametrize(
    ("mode", "components"),
    [("ReadWriteOnce", {"archive"}), ("ReadWriteMany", {"archive", "dashboard"})],
)
def test_the_archive_on_a_volume(mode: str, components: set[str]) -> None:
    """It outlives the release, and who reads it cannot write it."""
    sets = ("--set", f"archive.bucket=,archive.accessMode={mode}")
    found = archives(*sets)
    assert set(found) == components
    for component, (pod, variables) in found.items():
        assert variables["USAGE_ARCHIVE"] == "/archive"
        assert not {name for name in variables if name.startswith("AWS_")}
        mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
        assert mounts["archive"].get("readOnly", False) == (component == "dashboard")
    claim = only(render("--values", ARCHIVE, *sets), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["accessModes"] == [mode]
    there = archives(*sets, "--set", "archive.existingClaim=mine")
    assert {"claimName": "mine"} in [
        each.get("persistentVolumeClaim") for each in there["archive"][0]["volumes"]
    ]


# --------------------------------------------------------------------------- month-end, board


@pytest.mark.parametrize(
    ("today", "month"),
    [("2026-11-02", "2026-10"), ("2027-01-02", "2026-12"), ("2028-03-31", "2028-02")],
)
def test_the_month_that_ended_is_exported(today: str, month: str, tmp_path: Path) -> None:
    """The job's own script, on that day; it fails as the command does."""
    done = _month_end(tmp_path, today, "exit 1")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [_exported(month)]


@pytest.mark.parametrize("failing", ["reports", "export", ""])
def test_reports_are_issued_before_they_are_exported(failing: str, tmp_path: Path) -> None:
    """One that cannot be issued keeps no other from its file, and the attempt fails."""
    does = f'[ "$1" != "{failing}" ]'
    done = _month_end(tmp_path, "2026-11-02", does, "--set", "monthEnd.issue=true")
    assert done.returncode == bool(failing)
    assert done.stdout.splitlines() == [
        "reports issue --all --month 2026-10", _exported("2026-10"),
    ]  # fmt: skip


def _exported(month: str) -> str:
    return f"export --all --month {month} --require-complete --format xls -d /reports/{month}"


def _month_end(
    folder: Path, today: str, usage: str, *sets: str
) -> subprocess.CompletedProcess[str]:
    """Run the job's own script on a day; return what it called `usage` with, which does that."""
    job = only(render("--values", MONTH_END, *sets), "CronJob")["spec"]["jobTemplate"]["spec"]
    script = job["template"]["spec"]["containers"][0]["command"]
    _program(folder / "usage", f'echo "$@"; {usage}')
    _program(
        folder / "date",
        f'case "$*" in *-d*) ;; *) set -- -d {date.fromisoformat(today)} "$@";; esac\n'
        f'exec {shutil.which("date")} "$@"',
    )
    variables = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(script, env=variables, capture_output=True, text=True, check=False)


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_reports_outlive_the_release() -> None:
    """The claim that the chart makes is kept; one that is there already is used instead."""
    claim = only(render("--values", MONTH_END), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    there = render("--values", MONTH_END, "--set", "monthEnd.existingClaim=reports")
    assert not [each for each in there if each["kind"] == "PersistentVolumeClaim"]
    (pod,) = (pod for labels, pod in pods(there) if "month-end" in labels.values())
    assert {"claimName": "reports"} in [
        volume.get("persistentVolumeClaim") for volume in pod["volumes"]
    ]


#: What stands for rules while the chart has none.
_RULES = """
groups:
  - name: usage
    rules:
      - alert: Down
        expr: up{job="usage-worker"} == 0
        annotations: { summary: "{{ $labels.pod }} is down" }
"""


def test_rules_and_board_are_those_of_the_files(tmp_path: Path) -> None:
    """As they are: what Prometheus and Grafana fill in, Helm leaves alone."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    files = chart / "files"
    files.mkdir(exist_ok=True)
    rules, board = files / "alerts.yml", files / "usage-board.json"
    if not rules.exists():
        rules.write_text(_RULES)
    if not board.exists():
        board.write_text(json.dumps({"title": "Usage {{ instance }}", "panels": []}, indent=2))
    values = yaml.safe_load((chart / "values.yaml").read_text())
    sets = ",".join(f"{name}.enabled=true" for name in ("archive", "alerts") if name in values)
    rendered = render("--values", SECURED, "--set", sets, chart=chart)
    rule = only(rendered, "PrometheusRule")
    monitors = [each["spec"] for each in rendered if each["kind"] == "ServiceMonitor"]
    jobs = {monitor["endpoints"][0]["relabelings"][0]["replacement"] for monitor in monitors}
    assert set(re.findall(r'job="([^"]*)"', rules.read_text() + board.read_text())) <= jobs
    assert problems(rule, KUBERNETES[0]) == []
    assert rule["spec"] == yaml.safe_load(rules.read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    found = only(rendered, "ConfigMap", "usage-board")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    content: Any = json.loads(found["data"]["usage-board.json"])
    assert content == json.loads(board.read_text())


def test_the_notes_tell_commands_that_exist() -> None:
    """What `helm install` prints last."""
    text = (CHART / "templates" / "NOTES.txt").read_text() + (CHART / "README.md").read_text()
    used = set(re.findall(r"(?:\$run \}\}|--) usage ([a-z-]+)", text))
    assert {"doctor", "token"} <= used <= set(main.list_commands(click.Context(main)))
