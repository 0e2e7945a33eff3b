"""Free text from producers and operators, made fit for a file without changing what can be kept.

Names of accounts and flows may hold any character. Two kinds cannot be carried by every format:
control characters, which XML forbids and terminals obey, and halves of a surrogate pair, which no
encoding has. They are replaced one for one, so that a text stays as long as it was.
"""

import re

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_HALVES = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PICTURES = 0x2400  # where Unicode's pictures of the control characters 0 to 31 begin
_DELETE_PICTURE = "\N{SYMBOL FOR DELETE}"

#: Beginnings that make a spreadsheet read a text as a formula (OWASP, "CSV Injection").
_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def readable(text: str) -> str:
    """Return *text* as a cell shows it: a control character becomes its picture (tab: ␉)."""
    return _UNFIT.sub(_visible, text)


def encodable(text: str) -> str:
    """Return *text* as JSON carries it: all of it, but for halves of a surrogate pair."""
    return _HALVES.sub(_REPLACEMENT, text)


def inert(text: str) -> str:
    """Return *text* so that a spreadsheet that opens a CSV file never runs it as a formula.

    A text that begins like a formula gets an apostrophe in front, which spreadsheets read as
    "what follows is text".
    """
    return f"'{text}" if text.startswith(_FORMULA_BEGINNINGS) else text


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return _DELETE_PICTURE if code == 0x7F else _REPLACEMENT
