"""The scripts, styles and pictures of the pages: part of the package, named by their content."""

import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from interaction_usage.dashboard.errors import RequestError

_FOLDER: Final = Path(str(files("interaction_usage.dashboard").joinpath("static")))
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}

_IMPORT: Final = re.compile(rb'^import .*from "\./([\w/]+\.js)";$', re.MULTILINE)

router = APIRouter(include_in_schema=False)


@cache
def _contents() -> dict[str, tuple[bytes, str]]:
    """Return each asset's bytes and media type by its path; there are few, and they stay."""
    return {
        path.relative_to(_FOLDER).as_posix(): (path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }


@cache
def version() -> str:
    """Return a name for all assets as they are: part of their address, so that they can be kept."""
    digest = hashlib.sha256()
    for name, (content, _) in _contents().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


@cache
def modules_of(script: str) -> tuple[str, ...]:
    """Return the modules that *script* imports, however far behind others: a page names them all.

    A browser that learns of each from the one before it fetches them one after the other.
    """
    found: list[str] = []
    ahead = [script]
    while ahead:
        content, _ = _contents()[ahead.pop()]
        imported = [name.decode() for name in _IMPORT.findall(content)]
        new = [name for name in dict.fromkeys(imported) if name not in found and name != script]
        found += new
        ahead += new
    return tuple(found)


def size() -> int:
    """Return the size of all assets, in bytes."""
    return sum(len(content) for content, _ in _contents().values())


@router.get("/assets/{kept_as}/{name:path}")
async def asset(kept_as: str, name: str) -> Response:
    """An asset; under the current version's address it may be kept for ever."""
    try:
        content, media_type = _contents()[name]
    except KeyError:
        raise RequestError(404, "There is no such file.") from None
    keep = "public, max-age=31536000, immutable" if kept_as == version() else "no-cache"
    return Response(content, media_type=media_type, headers={"Cache-Control": keep})


@router.get("/favicon.ico")
async def favicon() -> Response:
    """The picture for the browser's tab."""
    return Response(_contents()["icon.svg"][0], media_type="image/svg+xml")
