"""The URL of a Redis: what it may contain, and how to show it without what may be a secret."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

_CLUSTER: Final = "cluster"

_UNIX: Final = "unix"
_SENTINEL: Final = ("redis+sentinel", "rediss+sentinel")
_TLS: Final = ("rediss", "rediss+sentinel")
_SENTINEL_PORT: Final = 26379
#: A host, of IPv6 in brackets, and a port if it is not the usual one.
_PLACE: Final = r"(\[[0-9A-Fa-f:.]+\]|[^\s%,:/\[\]]+)(?::([0-9]{1,5}))?"

_FORM: Final = (
    "must be a URL like redis://127.0.0.1:6379/0, or redis://127.0.0.1:6379?cluster=true where "
    "that is a node of a cluster, redis+sentinel://HOST:26379,HOST:26379/SERVICE/0 where these are "
    "sentinels, or unix:///run/redis.sock?db=0"
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


def _database(value: str) -> str:
    return "" if re.fullmatch("[0-9]{1,4}", value) else "the number of a database"


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
#: The options of the other kinds of URLs, those of TLS apart.
_SENTINEL_OPTIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "sentinel_username": _text,
    "sentinel_password": _text,
}
_UNIX_OPTIONS: Final[Mapping[str, Callable[[str], str]]] = {"db": _database}
#: Every option that a URL may have.
OPTIONS: Final = frozenset({**_OPTIONS, **_TLS_OPTIONS, **_SENTINEL_OPTIONS, **_UNIX_OPTIONS})


def check(url: str) -> None:
    """Raise ValueError, with a sentence that shows nothing secret, if *url* cannot be used."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its message shows parts of the URL
        raise ValueError(_FORM + (_ENCODED if "@" in url else "")) from None
    if parts.scheme == _UNIX:
        _check_unix(url, parts)
    elif parts.scheme in _SENTINEL:
        _check_sentinel(url, parts)
    else:
        _check_server(url, parts)


def _check_server(url: str, parts: SplitResult) -> None:
    """Do that for the URL of a server or of a node of a cluster."""
    try:
        is_whole = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    # An @ after the host belongs to a password with a / or ? in it, which is cut in two.
    if is_whole and ("@" in parts.path or "@" in parts.query or "#" in url):
        is_whole = False
    if not is_whole or not re.fullmatch(r"[^\s%,]+", parts.hostname or ""):
        raise ValueError(_FORM + (_ENCODED if "@" in url else ""))
    if not re.fullmatch(r"(?:/[0-9]{0,4})?", parts.path):
        raise ValueError("must have the number of a database, or nothing, after the host: /0")
    options = _options(parts)
    _check_options(options, _OPTIONS, has_tls=parts.scheme in _TLS)
    if options.get(_CLUSTER) == "true" and parts.path not in ("", "/", "/0"):
        raise ValueError("must name database 0 or none, since a cluster has no other")


def _check_unix(url: str, parts: SplitResult) -> None:
    """Do the same for the path of a socket."""
    place = parts.netloc.rpartition("@")[2]
    if place or "#" in url or "@" in parts.path or len(parts.path) < 2:
        raise ValueError(
            "must name a socket by its whole path: unix:///run/redis.sock, or with a login "
            "unix://USER:PASSWORD@/run/redis.sock" + (_ENCODED if "@" in url else "")
        )
    _check_options(_options(parts), _UNIX_OPTIONS, has_tls=False)


def _check_sentinel(url: str, parts: SplitResult) -> None:
    """Do the same for a service that sentinels watch."""
    places = parts.netloc.rpartition("@")[2].split(",")
    is_whole = all(re.fullmatch(_PLACE, each) for each in places)
    if not is_whole or "#" in url or "@" in parts.path or "@" in parts.query:
        raise ValueError(_FORM + (_ENCODED if "@" in url else ""))
    if not re.fullmatch(r"/[A-Za-z0-9._-]{1,128}(?:/[0-9]{0,4})?", parts.path):
        raise ValueError(
            "must have the name of the service that the sentinels watch, and may have the number "
            "of a database, after the hosts: /mymaster/0"
        )
    _check_options(_options(parts), _SENTINEL_OPTIONS, has_tls=parts.scheme in _TLS)


def _check_options(
    options: Mapping[str, str],
    own: Mapping[str, Callable[[str], str]],
    *,
    has_tls: bool,
) -> None:
    known = {**own, **_TLS_OPTIONS} if has_tls else own
    for name, value in options.items():
        shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "whose name is not shown"
        if name in known:
            if need := known[name](value):
                raise ValueError(f"has the option {name}, which must be {need}")
        elif name in _TLS_OPTIONS:
            raise ValueError(f"has the option {name}, which needs a rediss:// URL")
        elif name in OPTIONS:
            raise ValueError(f"has the option {name}, which a URL of this kind does not have")
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
        if parts.scheme not in _TLS:
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


class Sentinels(NamedTuple):
    """The sentinels that a URL names, the service that they watch, and how to log in to both."""

    places: tuple[tuple[str, int], ...]  #: host and port of each
    service: str
    server_url: str  #: the URL of the service's servers, but for their host
    username: str  #: at the sentinels; empty without a login
    password: str


def sentinels(url: str) -> Sentinels | None:
    """Return what a URL of sentinels names; None for any other *url*."""
    parts = urlsplit(url)
    if parts.scheme not in _SENTINEL:
        return None
    user, at, places = parts.netloc.rpartition("@")
    _, service, database = (*parts.path.split("/"), "")[:3]
    options = _options(parts)
    username, password = (options.pop(name, "") for name in _SENTINEL_OPTIONS)
    server = parts._replace(
        scheme=parts.scheme.removesuffix("+sentinel"), netloc=f"{user}{at}{service}",
        path=f"/{database}", query=urlencode(options),
    )  # fmt: skip
    return Sentinels(
        tuple(map(_host_and_port, places.split(","))), service, server.geturl(), username, password
    )


def _host_and_port(place: str) -> tuple[str, int]:
    found = re.fullmatch(_PLACE, place)
    assert found
    return found[1].strip("[]"), int(found[2] or _SENTINEL_PORT)


def server_url(url: str) -> str:
    """Return *url* as redis-py takes it: without the options that only we know."""
    parts = urlsplit(url)
    if parts.scheme == _UNIX:
        return url
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
