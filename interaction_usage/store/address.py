"""The URL of a Redis: what it may contain, and how to show it without what may be a secret."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

_CLUSTER: Final = "cluster"

_FORM: Final = (
    "must be a URL like redis://127.0.0.1:6379/0, or redis://127.0.0.1:6379?cluster=true where "
    "that is a node of a cluster"
)
_ENCODED: Final = (
    "; if a user name or password has one of the characters / ? # [ ] @ : %, write it as %2F %3F "
    "%23 %5B %5D %40 %3A %25"
)


def _one_of(*values: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return "" if value in values else " or ".join(values)

    return check


def _file(value: str) -> str:
    return "" if os.path.isfile(value) and os.access(value, os.R_OK) else "a file that can be read"


def _folder(value: str) -> str:
    return "" if os.path.isdir(value) else "a folder"


def _text(value: str) -> str:
    return "" if value else "given"


_boolean = _one_of("true", "false")

#: Options behind the `?`, each with a check that returns what its value must be, or nothing.
_OPTIONS: Final[Mapping[str, Callable[[str], str]]] = {_CLUSTER: _boolean}
#: Further options of a `rediss://` URL.
_TLS_OPTIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "ssl_ca_certs": _file,
    "ssl_ca_path": _folder,
    "ssl_certfile": _file,
    "ssl_keyfile": _file,
    "ssl_password": _text,
    "ssl_cert_reqs": _one_of("required", "optional", "none"),
    "ssl_check_hostname": _boolean,
}
#: Every option that a URL may have.
OPTIONS: Final = frozenset({**_OPTIONS, **_TLS_OPTIONS})


def check(url: str) -> None:
    """Raise ValueError, with a sentence that shows nothing secret, if *url* cannot be used."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message shows parts of the URL
        is_whole = False
        parts = SplitResult("", "", "", "", "")
    # An @ after the host belongs to a password with a / or ? in it, which is cut in two.
    if is_whole and ("@" in parts.path or "@" in parts.query or "#" in url):
        is_whole = False
    if not is_whole or not re.fullmatch(r"[^\s%,]+", parts.hostname or ""):
        raise ValueError(_FORM + (_ENCODED if "@" in url else ""))
    if not re.fullmatch(r"(?:/[0-9]{0,4})?", parts.path):
        raise ValueError("must have the number of a database, or nothing, after the host: /0")
    options = _options(parts)
    _check_options(options, has_tls=parts.scheme == "rediss")
    if options.get(_CLUSTER) == "true" and parts.path not in ("", "/", "/0"):
        raise ValueError("must name database 0 or none, since a cluster has no other")


def _check_options(options: Mapping[str, str], *, has_tls: bool) -> None:
    known = {**_OPTIONS, **_TLS_OPTIONS} if has_tls else _OPTIONS
    for name, value in options.items():
        shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "whose name is not shown"
        if name in known:
            if need := known[name](value):
                raise ValueError(f"has the option {name}, which must be {need}")
        elif name in _TLS_OPTIONS:
            raise ValueError(f"has the option {name}, which needs a rediss:// URL")
        else:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(known)}"
            raise ValueError(f"has the unknown option {shown}; {hint}")


def _options(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


class LoginError(ValueError):
    """A part of a login that does not fit the URL; the message shows nothing secret."""

    def __init__(self, member: str, sentence: str) -> None:
        super().__init__(sentence)
        self.member = member


class Login(NamedTuple):
    """How clients log in, given beside the URL; what is empty is not given."""

    username: str = ""
    password: str = ""
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_key_password: str = ""


#: Member of `Login` to the option of a URL that it is.
_OPTION_OF: Final = {
    "ssl_ca_location": "ssl_ca_certs",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_key_location": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
}


def with_login(url: str, login: Login) -> str:
    """Return *url* with what *login* gives. Raises LoginError where that does not fit."""
    if not any(login):
        return url
    parts = urlsplit(url)
    options = _options(parts)
    for member, option in _OPTION_OF.items():
        value = getattr(login, member)
        if not value:
            continue
        if parts.scheme != "rediss":
            raise LoginError(member, "needs a rediss:// URL in USAGE_REDIS")
        if option in options:
            raise LoginError(member, f"is given twice: USAGE_REDIS has {option}")
        if need := _TLS_OPTIONS[option](value):
            raise LoginError(member, f"must be {need}")
        options[option] = value
    user, at, place = parts.netloc.rpartition("@")
    for member in ("username", "password"):
        if getattr(login, member) and at:
            raise LoginError(member, "is given twice: USAGE_REDIS has a user or a password")
    if login.username or login.password:
        user, at = f"{quote(login.username, '')}:{quote(login.password, '')}", "@"
    if login.username and not login.password:
        raise LoginError("password", "is needed for a user")
    return parts._replace(netloc=f"{user}{at}{place}", query=urlencode(options)).geturl()


def is_cluster(url: str) -> bool:
    """Return whether *url* names a node of a cluster."""
    return _options(urlsplit(url)).get(_CLUSTER) == "true"


def server_url(url: str) -> str:
    """Return *url* as redis-py takes it: without the options that only we know."""
    parts = urlsplit(url)
    options = {name: value for name, value in _options(parts).items() if name != _CLUSTER}
    return parts._replace(query=urlencode(options)).geturl()


def node_url(url: str, host: str, port: int) -> str:
    """Return the URL of the node at *host* and *port* of the cluster that *url* names."""
    parts = urlsplit(server_url(url))
    user, at, _ = parts.netloc.rpartition("@")
    name = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{user}{at}{name}:{port}").geturl()


def place(url: str) -> str:
    """Return host, port and database of *url*: all of it that may be shown."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def shown(url: str) -> str:
    """Return *url* without its login and the password of a key: for whoever asks for settings."""
    parts = urlsplit(url)
    options = {name: value for name, value in _options(parts).items() if name != "ssl_password"}
    place_of = parts.netloc.rpartition("@")[2]
    whole = parts._replace(netloc=place_of, query=urlencode(options, safe="/")).geturl()
    return whole if place_of == parts.netloc else f"{whole} (with a login, not shown)"
