"""Free text from producers and operators, made fit for a file without changing what can be kept.

Names of accounts and flows may hold any character. Two kinds cannot be carried by every format:
control characters, which XML forbids and terminals obey, and halves of a surrogate pair, which no
encoding has. They are replaced one for one, so that a text stays as long as it was.
"""

import re
from unicodedata import category, normalize

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_HALVES = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PICTURES = 0x2400  # where Unicode's pictures of the control characters 0 to 31 begin
_DELETE_PICTURE = "\N{SYMBOL FOR DELETE}"

#: What sets the direction of writing: embeddings, overrides and isolates, and what ends them.
_DIRECTIONS = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_ISOLATES = "\N{LEFT-TO-RIGHT ISOLATE}\N{RIGHT-TO-LEFT ISOLATE}\N{FIRST STRONG ISOLATE}"
_ISOLATE, _END_OF_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"

#: What begins a formula (OWASP, "CSV Injection"), also in its wide, small and raised forms.
_FORMULA_BEGINNINGS = "=+-@\N{MINUS SIGN}"
#: Categories that a spreadsheet may skip before it looks for these: what has no ink.
_SKIPPED = {"Zs", "Zl", "Zp", "Cc", "Cf", "Mn"}
#: What a spreadsheet may be set to separate fields with, instead of the comma.
_SEPARATORS = re.compile(r"([;\t|])")


def readable(text: str) -> str:
    """Return *text* as a cell shows it: a control character becomes its picture (tab: ␉)."""
    return _UNFIT.sub(_visible, text)


def encodable(text: str) -> str:
    """Return *text* as JSON carries it: all of it, but for halves of a surrogate pair."""
    return _HALVES.sub(_REPLACEMENT, text)


def isolated(text: str) -> str:
    """Return *text* for a line with other text, which no direction set in it reaches.

    Source: Unicode, annex 9, 3.3.2: an isolate ends every embedding and override within it.
    """
    if not _DIRECTIONS.search(text):
        return text
    parts, opened = [_ISOLATE], 0
    for character in text:
        opened += character in _ISOLATES
        if character == _END_OF_ISOLATE:
            if not opened:  # it would end the one around the text
                continue
            opened -= 1
        parts.append(character)
    return "".join(parts) + _END_OF_ISOLATE * (opened + 1)


def inert(text: str) -> str:
    """Return *text* so that a spreadsheet that opens a CSV file never runs it as a formula.

    A text that begins like a formula gets an apostrophe in front, which spreadsheets read as
    "what follows is text". So does what follows a semicolon, a tab or a bar: where the comma is the
    decimal sign, Excel takes these for the ends of fields.
    """
    return "".join(
        f"'{part}" if _begins_a_formula(part) else part for part in _SEPARATORS.split(text)
    )


def _begins_a_formula(text: str) -> bool:
    for character in text:
        kind = category(character)
        if kind in _SKIPPED or character in "\"'":
            continue
        plain = normalize("NFKC", character)[:1]
        return plain in _FORMULA_BEGINNINGS or kind == "Pd"
    return False


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return _DELETE_PICTURE if code == 0x7F else _REPLACEMENT
