"""The names of the files that `usage export --all` writes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.file_names import file_name

_letters = "aAbBcCoOnNeE0179._:-"
ids = st.one_of(
    st.text(_letters, min_size=1, max_size=12),
    st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("acme", "acme.xls"),
        ("eu:acme-2.x_y", "eu+acme-2.x_y.xls"),
        ("Acme", "Acme@1.xls"),
        ("ACME", "ACME@f.xls"),
        ("aCME", "aCME@e.xls"),
        ("con", "@con.xls"),
        ("CON", "@CON@7.xls"),
        ("com1.eu", "@com1.eu.xls"),
        ("console", "console.xls"),
        ("com1:eu", "com1+eu.xls"),
        ("..", "@...xls"),
        ("-rf", "@-rf.xls"),
        ("A" * 128, "A" * 128 + "@" + "f" * 32 + ".xls"),
    ],
)
def test_the_name_follows_from_the_id(account: str, name: str) -> None:
    """As the table at the head of the module has it."""
    assert file_name(account, "xls") == name


@given(ids, ids)
def test_no_two_ids_share_a_file_where_case_does_not_count(one: str, other: str) -> None:
    """Nor two that differ in nothing else."""
    same = file_name(one, "xls").casefold() == file_name(other, "xls").casefold()
    assert same == (one == other)
    assert file_name(one.swapcase(), "xls").casefold() != file_name(one, "xls").casefold() or (
        one.swapcase() == one
    )


@given(ids)
def test_every_file_system_takes_the_name(account: str) -> None:
    """No reserved character or device, not hidden, no option, and short enough beside a suffix."""
    name = file_name(account, "xlsx")
    assert re.fullmatch(r"[A-Za-z0-9._+@-]+", name)
    assert name[0] not in ".-"
    assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)\.", name, re.IGNORECASE)
    assert len(name) + len(".4194304.tmp") <= 255


@pytest.mark.parametrize("text", ["", "../x", "a/b", "a\x00", "é", "a" * 129, "a b", "١"])
def test_what_is_no_id_has_no_file(text: str) -> None:
    """Whatever stands in Redis, no file lands outside the folder."""
    with pytest.raises(ValueError, match="is no account id"):
        file_name(text, "xls")
