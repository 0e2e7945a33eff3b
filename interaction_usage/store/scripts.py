"""The Lua scripts, each with a header of the constants and key names that it shares with Python.

The header has only what the script names, and is one line, so that the line numbers in Redis' error
messages are those of the file. What writes rollups has a guard in front: it does nothing where they
do not have the secret of its worker, as after a FLUSHALL, which breaks no connection.
"""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Final

from interaction_usage.store import keys
from interaction_usage.store.keys import LUA_FIELDS, LUA_KEYS, LuaName
from interaction_usage.store.record_layout import LUA_CONSTANTS, LUA_FORMATS, SERIES_BY_APPLICATION
from rollups.catalog import STARTED, UNSTOPPED

#: The names of fields that are followed by nothing.
_FIELD_NAMES: Final = {
    name: getattr(keys, name)
    for name in (
        "SESSION_COUNT", "SESSION_BUCKETS", "SESSION_SCAN", "SESSIONS_COUNTED_FROM", "LAST_CHANGE",
        "PENDING_VOIDS",
    )
}  # fmt: skip


#: How the error of a script begins that did nothing, because the rollups have another secret.
OTHER_SECRET: Final = "OTHERSECRET"
#: The last argument is the secret, and the last key the one it is stored under; where it is empty,
#: no script may read that key beside an account's: on a node of a cluster.
_GUARD: Final = (
    "local expected = table.remove(ARGV) "
    'if expected ~= "" and redis.call("GET", table.remove(KEYS)) ~= expected then '
    f'return redis.error_reply("{OTHER_SECRET} the rollups have another secret") end'
)


def source(name: str) -> str:
    """Return the script *name* as it is sent to Redis."""
    script = files("interaction_usage.store.lua").joinpath(f"{name}.lua").read_text("utf-8")
    return f"{header(script)} {script}"


def guarded_source(name: str) -> str:
    """Return the script *name* of rollups, with the guard in front: `nodes.Node.run` calls it."""
    return f"{_GUARD} {source(name)}"


def header(script: str) -> str:
    """Return the definitions of everything shared that *script* names, in one line."""
    code = re.sub(r"--.*", "", script)
    named = set(re.findall(r"[A-Za-z_]+", code))
    return " ".join(text for name, text in _definitions().items() if name in named)


def _definitions() -> dict[str, str]:
    """Return the Lua definition of each shared name."""
    values: dict[str, object] = dict(LUA_CONSTANTS)
    values |= {name: f'"{text}"' for name, text in {**LUA_FORMATS, **_FIELD_NAMES}.items()}
    # As texts: they name fields, and Redis writes a number of Lua's as text slowly.
    values["SERIES_OF"] = _table(
        "{" + ", ".join(f'"{series}"' for series in row) + "}" for row in SERIES_BY_APPLICATION
    )
    values["STARTED_OF"] = _table(f'"{metric}"' for metric in STARTED.values())
    values["UNSTOPPED_OF"] = _table(f'"{metric}"' for metric in UNSTOPPED.values())
    return {
        **{name: f"local {name} = {value}" for name, value in values.items()},
        **{name: _function(name, built, "head") for name, built in LUA_KEYS.items()},
        **{name: _function(name, built) for name, built in LUA_FIELDS.items()},
    }


def _table(values: Iterable[str]) -> str:
    """Return the Lua table from an application's index, from 0 on, to its value."""
    first, *others = values
    return f"{{{', '.join((f'[0] = {first}', *others))}}}"


def _function(name: str, built: LuaName, *before: str) -> str:
    """Return the Lua function that builds a name from what stands *before* it and its numbers."""
    numbers = ' .. ":" .. '.join(built.follows).removesuffix(" .. ")
    pieces = [*before, f'"{built.text}"', *([numbers] if numbers else [])]
    parameters = ", ".join((*before, *filter(None, built.follows)))
    return f"local function {name}({parameters}) return {' .. '.join(pieces)} end"
