"""The name of an account's file, which every file system can keep.

It follows from the id alone, so that a run next month writes the same name. Ids may hold `:`, which
Windows refuses, and may differ in case only, which Windows and macOS do not tell apart. So

    acme        acme.xls        what is lower-case, digits, `.`, `_` and `-` stays as it is
    eu:acme     eu+acme.xls     `:` becomes `+`
    Acme        Acme@1.xls      behind `@`, which characters are capitals: bit 0 is the first one,
    ACME        ACME@f.xls      bit 1 the second, in hexadecimal
    con         @con.xls        `@` stands before what Windows takes for a device,
    .acme       @.acme.xls      what a listing hides, and what a command takes for an option

`+` and `@` are in no id, so no two ids have one name, whatever becomes of its capitals.
"""

import re
from typing import Final

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_TO_MARK: Final = re.compile(r"[.-]|(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


def file_name(account: str, file_format: str) -> str:
    """Return the name of the file for *account*'s report in *file_format*.

    Raises ValueError for a text that is no account id.
    """
    if not _ID.fullmatch(account):
        raise ValueError(f"{account!r} is no account id")
    capitals = sum(1 << place for place, letter in enumerate(account) if letter.isupper())
    begin = "@" if _TO_MARK.match(account) else ""
    end = f"@{capitals:x}" if capitals else ""
    return f"{begin}{account.replace(':', '+')}{end}.{file_format}"
