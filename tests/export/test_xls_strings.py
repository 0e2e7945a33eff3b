"""The table of strings of an .xls is, byte for byte, what xlwt makes of the same texts."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from xlwt.BIFFRecords import SharedStringTable

from export.xls_strings import string_table
from tests.support.examples import examples

#: Long texts end near where a record does: at 8,224 bytes.
_texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.integers(4_090, 8_230).map("ü".__mul__),
    st.integers(4_090, 8_230).map("回".__mul__),
    st.sampled_from(["x" * 32_767, "🛟" * 9_000, ""]),
)


@given(st.lists(_texts, unique=True, max_size=12))
@example([])
@example(["a" * 8_209, "b", "c"])  # 4 bytes are left behind the first, and 3
@example(["a" * 8_210, "b"])
@example(["a" * 8_208, "回"])
@example(["a" * 8_209, "回"])
@example(["a" * 8_210, "回回"])
@settings(deadline=None, max_examples=examples(60))
def test_the_table_is_what_xlwt_makes(texts: list[str]) -> None:
    """Wherever a record ends: before a text, in the middle of one, or behind its last character."""
    expected = SharedStringTable("ascii")
    for text in (*texts, *texts[:3]):
        expected.add_str(text)
    assert string_table(texts, len(texts) + len(texts[:3])) == expected.get_biff_record()
