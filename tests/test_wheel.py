"""What `pip install .` installs: all of the product, and nothing in the way of other packages."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("export", "interaction_usage", "rollups", "stream_app")

#: Names that other people's packages have at top level; earlier versions of this one had them, too.
FOREIGN = ("commands", "dashboard", "servers", "settings")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Return what *command* prints; it must succeed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, offline, from a copy without anything that an earlier build left."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()  # and not everything that could be packaged
    target = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", target)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *options, source)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def crowded(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an environment with the wheel, which foreign packages were in first."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = site_packages(folder)
    for name in FOREIGN:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(f"OWNER = 'foreign {name}'\n")
    # The dependencies, from the environment of the tests; files like this one are not read there.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    options = ("--quiet", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel)
    return folder


def site_packages(folder: Path) -> Path:
    """Return where an environment has its packages."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))


def names_in(wheel: Path) -> Iterator[str]:
    """Yield the names of all files in *wheel* but its metadata."""
    with ZipFile(wheel) as archive:
        yield from (name for name in archive.namelist() if ".dist-info/" not in name)


def test_the_top_level_names_are_these_four(wheel: Path) -> None:
    """Everything else is below interaction_usage, where it collides with nobody's package."""
    assert {name.partition("/")[0] for name in names_in(wheel)} == set(PACKAGES)


def test_every_package_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    """Scripts, templates, static files and XML as well; nothing that is not in the source."""
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(name).suffix for name in files} >= {".css", ".html", ".js", ".lua", ".py", ".xml"}
    assert set(names_in(wheel)) == files


def test_an_installation_overwrites_nothing(crowded: Path) -> None:
    """The foreign packages are what they were, and are what their names import."""
    site = site_packages(crowded)
    code = f"import {', '.join(FOREIGN)}; print({'.OWNER, '.join(FOREIGN)}.OWNER)"
    answer = run(crowded / "bin" / "python", "-c", code, cwd=crowded)
    assert answer.split() == " ".join(f"foreign {name}" for name in FOREIGN).split()
    for name in FOREIGN:
        assert [path.name for path in (site / name).glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--version",), "usage, version 0.1.0"),
        (("--help",), "Usage metering"),
        (("export", "--help"), "--month"),
        (("serve", "--help"), "--open"),
        (("worker", "--help"), "--alive"),
    ],
)
def test_the_command_runs_from_an_installation(
    crowded: Path, arguments: tuple[str, ...], shown: str
) -> None:
    """Although other packages have the names that its modules end with."""
    assert shown in run(crowded / "bin" / "usage", *arguments, cwd=crowded)


def test_an_installation_is_complete(crowded: Path) -> None:
    """What is read from files is found: scripts of Redis, templates, static files."""
    code = (
        "import interaction_usage; from interaction_usage.dashboard import assets, pages;"
        "from interaction_usage.store import lua; assets.version();"
        "pages._templates.get_template('frame.html'); print(interaction_usage.__file__)"
    )
    answer = run(crowded / "bin" / "python", "-c", code, cwd=crowded)
    assert Path(answer.strip()).is_relative_to(site_packages(crowded))
