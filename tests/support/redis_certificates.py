"""Certificates for servers of Redis on 127.0.0.1."""

import subprocess
from pathlib import Path


def make_certificates(folder: Path, openssl: str = "openssl") -> Path:
    """Make a certificate for 127.0.0.1 (`crt`), its `key`, and that of its authority (`ca.crt`).

    Returns *folder*, where they are.
    """
    folder.mkdir(exist_ok=True)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    for command in (
        (*new, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=ca"),
        (*new, "-keyout", "key", "-out", "csr", "-subj", "/CN=node"),
        ("x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
         "-out", "crt", "-days", "2", "-extfile", "names"),
    ):  # fmt: skip
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True)
    return folder


def tls_options(folder: Path) -> dict[str, str]:
    """Return the options of a server that has the certificates in *folder* and asks for none."""
    files = {"cert": "crt", "key": "key", "ca-cert": "ca.crt"}
    return {
        "tls-auth-clients": "no",
        **{f"tls-{option}-file": str(folder / file) for option, file in files.items()},
    }
