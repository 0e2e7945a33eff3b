"""A real Apache Kafka that is reached in every way that clients may have to log in.

Beside its listener without any security it has one for SASL over TLS (PLAIN, SCRAM, OAUTHBEARER),
one for SASL without TLS, and one that asks clients for a certificate.
"""

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.ports import free_port

USER, PASSWORD, KEY_PASSWORD = "meter", 'pa"ss, w%rd', "k3y p4ss"
CLIENT, CLIENT_SECRET = "usage-client", "s3cret/?&"

_SCRAM = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
_LOGIN = "org.apache.kafka.common.security"
_PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},\
SASL_SSL://127.0.0.1:{sasl_ssl},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:{sasl_ssl},\
SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://localhost:{ssl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,\
SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
"""
_DENYING = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
_MECHANISMS = f"""
listener.name.{{listener}}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.{{listener}}.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required \
user_{USER}="{{password}}";
listener.name.{{listener}}.scram-sha-256.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.{{listener}}.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.{{listener}}.oauthbearer.sasl.jaas.config=\
{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin";
"""


class SecuredKafka(ApacheKafka):
    """An Apache Kafka with more listeners, and certificates in its folder.

    They are ca, client, and client.expired; those in the folder `stranger` are another authority's.
    One that *denies* what no ACL allows lets only those do everything who do not log in.
    """

    def __init__(self, folder: Path, *, denies: bool = False) -> None:
        super().__init__(folder)
        self._denies = denies
        self.sasl_ssl, self.sasl, self.ssl = free_port(), free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        _make_certificates(self.folder)
        (self.folder / "stranger").mkdir(exist_ok=True)
        _make_certificates(self.folder / "stranger")

    def start(self) -> None:
        """Start it, and let the user log in with SCRAM."""
        super().start()
        self.change_password(PASSWORD)

    def change_password(self, password: str, *mechanisms: ScramMechanism) -> None:
        """Give the user another password for SCRAM, for logins from now on."""
        admin: Any = AdminClient({"bootstrap.servers": self.bootstrap})
        for mechanism in mechanisms or _SCRAM:
            upsertion = UserScramCredentialUpsertion(
                USER, ScramCredentialInfo(mechanism, 4096), password.encode()
            )
            for done in admin.alter_user_scram_credentials([upsertion]).values():
                done.result(20)

    def issue_certificate(self, name: str, folder: Path) -> None:
        """Make another certificate that brokers trust, and its key: `client.crt`, `client.key`."""
        authority = [str(self.folder / file) for file in ("ca.pem", "ca.key")]
        _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "new.key", "-out",
                 "client.csr", "-subj", f"/CN={name}")  # fmt: skip
        _openssl(folder, "x509", "-req", "-in", "client.csr", "-CA", authority[0], "-CAkey",
                 authority[1], "-CAcreateserial", "-out", "new.crt", "-days", "2")  # fmt: skip
        for end in ("key", "crt"):  # at once, as Kubernetes does
            (folder / f"new.{end}").rename(folder / f"client.{end}")

    def _write_properties(self, name: str, data: Path) -> Path:
        path = super()._write_properties(name, data)
        password = PASSWORD.replace("\\", r"\\").replace('"', r"\\\"")
        more = _PROPERTIES.format(
            port=self.port, controller_port=self.controller_port, folder=self.folder,
            sasl_ssl=self.sasl_ssl, sasl=self.sasl, ssl=self.ssl,
        )  # fmt: skip
        for listener in ("sasl_ssl", "sasl_plaintext"):
            more += _MECHANISMS.format(listener=listener, password=password)
        path.write_text(path.read_text() + more + (_DENYING if self._denies else ""))
        return path


def _make_certificates(folder: Path) -> None:
    """Make an authority, and certificates by it; the name in the broker's is `localhost`."""
    end = ("-days", "2", "-sha256")
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key",
             "-out", "ca.pem", "-subj", "/CN=authority", *end)  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for name in ("broker", "client"):
        _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
                 "-out", f"{name}.csr", "-subj", f"/CN={name}")  # fmt: skip
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                 "-CAcreateserial", "-extfile", "names", "-out", f"{name}.crt", *end)  # fmt: skip
    _openssl(folder, "pkcs8", "-topk8", "-in", "client.key", "-out", "client.enc.key", "-v2",
             "aes256", "-passout", f"pass:{KEY_PASSWORD}")  # fmt: skip
    _make_expired(folder)
    key, certificate = ((folder / f"broker.{end}").read_text() for end in ("key", "crt"))
    (folder / "broker.pem").write_text(key + certificate)


_EXPIRED = """
[ca]
default_ca = own
[own]
database = index
serial = serial
policy = names
[names]
commonName = supplied
"""


def _make_expired(folder: Path) -> None:
    """Make a certificate of the client that is no longer valid."""
    for name, text in (("index", ""), ("serial", "01"), ("expired.conf", _EXPIRED)):
        (folder / name).write_text(text)
    _openssl(folder, "ca", "-batch", "-config", "expired.conf", "-cert", "ca.pem", "-keyfile",
             "ca.key", "-in", "client.csr", "-out", "client.expired.crt", "-outdir", ".",
             "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-md", "sha256",
             )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@contextmanager
def token_server() -> Iterator[tuple[str, list[str]]]:
    """Run a server that gives tokens; yield its URL, and what it is asked for, as it comes."""
    asked: list[str] = []

    class Tokens(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Give a token to whoever has the secret, for a minute."""
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            given = base64.b64decode(self.headers["Authorization"].partition(" ")[2]).decode()
            asked.append(form)
            right = given in (f"{CLIENT}:{CLIENT_SECRET}", f"{CLIENT}:s3cret%2F%3F%26")
            answer = {"access_token": _unsecured_token(), "expires_in": 60, "token_type": "Bearer"}
            content = json.dumps(answer if right else {"error": "invalid_client"}).encode()
            self.send_response(200 if right else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _unsecured_token() -> str:
    now = int(time.time())
    claims = {"sub": USER, "iat": now, "exp": now + 60, "scope": "usage"}
    parts = ({"alg": "none"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return b".".join(encoded).decode() + "."
