"""Regular expressions of JSON Schemas (ECMA-262) for what the codec checks in Python."""

from typing import Final

# Any character that a String of CloudEvents may have, as far as a schema's patterns reach.
STRING: Final = r"^[^\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]+(?!\n)$"
ACCOUNT: Final = r"^(?!\.{1,2}$)[A-Za-z0-9._:-]{1,128}(?!\n)$"
TIME: Final = (
    r"^(1999(?=-12-31)|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
    r"(?!\n)$"
)
