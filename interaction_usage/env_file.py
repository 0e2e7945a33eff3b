"""The file `.env`: settings for whoever starts a process by hand, below those of the environment.

The file may belong to another tool as well (Docker Compose has its own there), so only names that
begin with `USAGE_` are taken, and whatever else is in it needs the usual form only. No message
shows a value, or any other part of a line.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "USAGE_ENV_FILE"
#: The file that is read from the working directory if the variable is not set.
NAME: Final = ".env"

_PREFIX: Final = "USAGE_"
_MAX_BYTES: Final = 1 << 20

#: The beginning of a line, up to its value.
_START: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(=?)[ \t]*")
#: A value between quotes, which may reach over several lines, and one without them.
_SINGLE: Final = re.compile(r"'([^']*)'")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE: Final = re.compile(r"[^\r\n]*")
#: What may follow a value between quotes.
_REST: Final = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r?\n|\Z)")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}


class EnvFileError(Exception):
    """The file cannot be used; the message says where it is broken."""


def below(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings of the file that are not set in *environment*. Raises EnvFileError.

    `USAGE_ENV_FILE` names the file, and must exist then; set to nothing, no file is read. A
    variable that is empty is as good as none. A secret that the environment has, or has as a file,
    is set there.
    """
    path = environment.get(VARIABLE, NAME)
    if not path:
        return {}
    is_named = VARIABLE in environment
    shown = VARIABLE if is_named else NAME
    text = _content(Path(path), shown, is_named=is_named)
    found: dict[str, str] = {}
    for number, name, value in _assignments(text, shown):
        if not name.startswith(_PREFIX):
            continue
        if name == VARIABLE:
            raise EnvFileError(f"{shown}, line {number}: {VARIABLE} cannot be set in a file")
        if name in found:
            raise EnvFileError(f"{shown}, line {number}: {name} is given twice; keep one of them")
        found[name] = value
    if found and not is_named:
        _check_owner(Path(path))
    return {
        name: value
        for name, value in found.items()
        if not environment.get(name) and not environment.get(_other_form(name))
    }


def _other_form(name: str) -> str:
    """Return the name under which the same secret may be given."""
    return name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"


def _content(path: Path, shown: str, *, is_named: bool) -> str:
    """Return the text of the file; none if there is no such file and none is named."""
    try:
        if not is_named and not stat.S_ISREG(path.stat().st_mode):
            return ""  # a folder, as virtual environments have
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if not is_named:
            return ""
        raise EnvFileError(f"{VARIABLE} must be a file that can be read") from None
    except (OSError, ValueError):
        if is_named:
            raise EnvFileError(f"{VARIABLE} must be a file that can be read") from None
        raise EnvFileError(
            f"{NAME} in the working directory cannot be read; to do without it, set {VARIABLE}="
        ) from None
    if len(content) > _MAX_BYTES:
        raise EnvFileError(f"{shown} is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EnvFileError(f"{shown} must be text in UTF-8") from None


def _check_owner(path: Path) -> None:
    """Raise EnvFileError where another user decides which servers this process connects to."""
    if not hasattr(os, "geteuid"):
        return
    try:
        status = path.stat()
    except OSError:
        return
    is_theirs = status.st_uid not in (0, os.geteuid())
    if is_theirs or status.st_mode & stat.S_IWOTH:
        fault = "belongs to another user" if is_theirs else "can be written by everybody"
        raise EnvFileError(
            f"{NAME} in the working directory {fault}; to use it, set {VARIABLE}={NAME}, and to do "
            f"without it, set {VARIABLE}="
        )


def _assignments(text: str, shown: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the name and the value of each assignment."""
    at = 0
    while at < len(text):
        number = text.count("\n", 0, at) + 1
        end = _line_end(text, at)
        line = text[at:end].strip()
        if not line or line.startswith("#"):
            at = end + 1
            continue
        start = _START.match(text, at, end)
        if start is None or (not start[2] and (start.end() < end or start[1][:6] == _PREFIX)):
            raise EnvFileError(f"{shown}, line {number}: must be NAME=value")
        if not start[2]:  # Docker Compose takes such a name's value from its own environment
            at = end + 1
            continue
        value, at = _value(text, start.end(), f"{shown}, line {number}", start[1])
        yield number, start[1], value


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int, where: str, name: str) -> tuple[str, int]:
    """Return the value that begins *at* a place, and where the next line begins."""
    quote = text[at : at + 1]
    if quote not in ("'", '"'):
        whole = _BARE.match(text, at)
        assert whole is not None
        value = "" if whole[0].startswith("#") else re.split(r"[ \t]#", whole[0], maxsplit=1)[0]
        value, end = value.strip(), _line_end(text, at)
    else:
        whole = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
        if whole is None:
            raise EnvFileError(f"{where}: the closing {quote} is missing")
        rest = _REST.match(text, whole.end())
        if rest is None:
            raise EnvFileError(f"{where}: only a comment may follow the closing {quote}")
        value, end = whole[1], rest.end() - 1
        if quote == '"':
            value = re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), value, flags=re.DOTALL)
    if quote != "'" and "${" in value and name.startswith(_PREFIX):
        raise EnvFileError(
            f"{where}: ${{…}} is not replaced; write the value itself, or between ' if it is meant"
        )
    if "\0" in value:
        raise EnvFileError(f"{where}: has a character that no variable can have")
    return value, end + 1
