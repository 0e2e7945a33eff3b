"""Another version of the time zone database: the package `tzdata` with one zone's rules changed."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from rollups import local_time

VERSION = "2099z"


@contextmanager
def changed_zone(folder: Path, zone: str, like: str) -> Iterator[None]:
    """Have a database in which a *zone* has the rules of another, until the block ends."""
    package = folder / "tzdata"
    with resources.as_file(resources.files("tzdata")) as there:
        shutil.copytree(there, package)
    shutil.copy(package / "zoneinfo" / like, package / "zoneinfo" / zone)
    initial = package / "__init__.py"
    initial.write_text(f'{initial.read_text()}\nIANA_VERSION = "{VERSION}"\n')
    sys.path.insert(0, str(folder))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _forget()


def _forget() -> None:
    """Have the database read again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tzdata"]:
        del sys.modules[name]
    local_time._loaded.cache_clear()
    local_time.zone_names.cache_clear()
