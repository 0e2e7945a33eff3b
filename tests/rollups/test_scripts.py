"""Names and numbers that Python and the scripts share are written once."""

import re
from pathlib import Path

import pytest

from interaction_usage.store import keys, scripts
from interaction_usage.store.keys import LUA_FIELDS, LUA_KEYS
from interaction_usage.store.record_layout import LUA_CONSTANTS

FOLDER = Path(scripts.__file__).parent / "lua"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.lua"))
#: Numbers that a script would only need if it repeated one that is shared.
SHARED = {abs(value) for value in LUA_CONSTANTS.values() if abs(value) > 20}


def code(name: str) -> str:
    """Return a script without its comments."""
    return re.sub(r"--.*", "", (FOLDER / f"{name}.lua").read_text("utf-8"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_repeats_no_shared_number(name: str) -> None:
    """It names the constant."""
    numbers = {int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.])", code(name))}
    assert not numbers & SHARED


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_builds_no_name_itself(name: str) -> None:
    """It calls the function of the key, or of the field."""
    texts = {built.text for built in (*LUA_KEYS.values(), *LUA_FIELDS.values())}
    assert not texts & set(re.findall(r'"([^"]*)"', code(name)))


@pytest.mark.parametrize("name", SCRIPTS)
def test_line_numbers_are_those_of_the_file(name: str) -> None:
    """Redis names them in its errors; so the header is in the first line."""
    sent = scripts.source(name).splitlines()
    assert sent[1:] == (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()[1:]


def test_a_header_has_what_a_script_names_and_no_more() -> None:
    """A comment names nothing."""
    script = "-- DAYS_PER_BLOCK\ncall(day_key(head, 1), SERIES)"
    assert scripts.header(script) == (
        'local SERIES = 5 local function day_key(head, day) return head .. ":d:" .. day end'
    )


def test_keys_are_the_same_in_python_and_in_lua() -> None:
    """Each from the same text."""
    at = keys.FIRST
    lua = {name: built.text for name, built in LUA_KEYS.items()}
    head = at.head("a")
    assert {
        "day_key": at.day("a", 7),
        "slot_deltas_key": at.slot_deltas("a", 7),
        "sealed_days_key": at.sealed_days("a", 7),
        "nets_key": at.nets("a") + "7",
        "voids_key": at.voids("a", 7),
        "pending_voids_key": at.pending_voids("a") + "7",
    } == {name: f"{head}{text}7" for name, text in lua.items() if name.endswith("_key")}
